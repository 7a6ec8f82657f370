"""An order → a job: the pure checks, and every value that a job carries made concrete."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from bot.domain import Action, Asker, Destination, Job, JobState, Order, Parameters, StoredImage
from bot.errors import UserError
from bot.image_store import SOURCE
from bot.prompting import (
    DEFAULT_PICTURES,
    VARY_STRENGTH,
    chosen_model,
    heeded,
    parse,
    picture_seeds,
    plan,
    sampling_for,
)
from bot.services.engine_errors import as_user_error
from engine import ModelInfo, RequestRejected, Safety
from engine.request import MAX_SEED
from engine.validation import rounded, validate


def first_job(asker: Asker, order: Order, models: Sequence[ModelInfo], now: datetime) -> Job:
    """IMAGINE: the job that a typed prompt asks for. Raises UserError as `parse` and `check` do."""
    prompt = parse(order.prompt or "")
    model, parameters = chosen_model(prompt.parameters, models)
    job = _job(asker, order, prompt.text, parameters, model, now)
    check(job, model)
    return job


def child_job(asker: Asker, order: Order, parent: Job, models: Sequence[ModelInfo], now: datetime) -> Job:
    """UPSCALE, VARY and REROLL: the parent's prompt and parameters again.

    Raises:
        UserError: `no_such_picture` or `picture_flagged` for the parent's picture, `request_rejected` by the model.
    """
    model = model_of(parent, models)
    if order.action is Action.UPSCALE:
        seeds = (_picture_of(parent, order.index).seed,)
        job = _job(asker, order, parent.prompt, parent.parameters, model, now)
        return replace(job, sampling=parent.sampling, seeds=seeds, model=parent.model)
    # Rolling a variation again starts from the same picture, which the parent keeps a copy of.
    strength = parent.sampling.strength
    if order.action is Action.VARY:
        _picture_of(parent, order.index)
        strength = VARY_STRENGTH
    job = _job(asker, order, parent.prompt, replace(parent.parameters, seed=None), model, now)
    # The values a job was made with outlive changes of the defaults, as long as its model is there.
    sampling = heeded(parent.sampling, model) if model.name == parent.model else job.sampling
    job = replace(job, sampling=replace(sampling, strength=strength))
    check(job, model)
    return job


def retried_job(asker: Asker, source: str, failed: Job, models: Sequence[ModelInfo], now: datetime) -> Job:
    """The failed job once more, with its seeds. Raises UserError `not_failed`."""
    if failed.state is not JobState.FAILED:
        raise UserError("not_failed")
    model = model_of(failed, models)
    order = Order(action=failed.action, source=source, parent_id=failed.parent_id, index=failed.parent_index)
    job = replace(_job(asker, order, failed.prompt, failed.parameters, model, now), seeds=failed.seeds)
    sampling = heeded(failed.sampling, model) if model.name == failed.model else job.sampling
    job = replace(job, sampling=replace(sampling, strength=failed.sampling.strength))
    if job.action is not Action.UPSCALE:
        check(job, model)
    return job


def check(job: Job, model: ModelInfo) -> None:
    """Ask the model's own rules before anything is stored. Raises UserError `request_rejected`."""
    from_picture = job.sampling.strength < 1
    try:
        validate(rounded(plan(job, model, Path(SOURCE) if from_picture else None), model), model)
    except RequestRejected as error:
        raise as_user_error(error) from error


def model_of(job: Job, models: Sequence[ModelInfo]) -> ModelInfo:
    """The job's model, or the default where its own is not offered any more."""
    return next((model for model in models if model.name == job.model), models[0])


def _job(
    asker: Asker, order: Order, prompt: str, parameters: Parameters, model: ModelInfo, now: datetime
) -> Job:
    seed = secrets.randbelow(MAX_SEED + 1) if parameters.seed is None else parameters.seed
    return Job(
        id=uuid4(),
        action=order.action,
        state=JobState.WAITING,
        owner_id=asker.user_id,
        owner_name=asker.user_name,
        guild_id=asker.guild_id,
        source=order.source,
        prompt=prompt,
        parameters=parameters,
        model=model.name,
        sampling=sampling_for(parameters, model),
        seeds=picture_seeds(seed, parameters.n or DEFAULT_PICTURES),
        destination=Destination(channel_id=asker.channel_id),
        created_at=now,
        locale=asker.locale,
        parent_id=order.parent_id,
        parent_index=order.index,
    )


def _picture_of(parent: Job, index: int | None) -> StoredImage:
    picture = next((image for image in parent.images if image.index == index), None)
    if picture is None:
        raise UserError("no_such_picture", got=(index or 0) + 1, count=len(parent.images))
    if picture.safety is Safety.FLAGGED:
        raise UserError("picture_flagged")
    return picture
