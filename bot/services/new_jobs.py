"""An order → a job: the pure checks, and every value that a job carries made concrete."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from bot.domain import Action, Asker, Destination, Job, JobState, Order, Parameters, StoredImage
from bot.downloads import check_upload
from bot.errors import UserError
from bot.image_store import SOURCE
from bot.prompting import (
    DEFAULT_PICTURES,
    VARY_STRENGTH,
    chosen_model,
    heeded,
    parse,
    picture_seeds,
    request_of,
    sampling_for,
    source_count,
)
from bot.services.engine_errors import as_user_error
from engine import ModelInfo, Operation, RequestRejected, Safety
from engine.request import MAX_SEED
from engine.validation import rounded, validate


def first_job(asker: Asker, order: Order, models: Sequence[ModelInfo], now: datetime) -> Job:
    """IMAGINE, DESCRIBE and BLEND: the job that a typed prompt or uploaded pictures ask for.

    Raises:
        UserError: as `parse`, `chosen_model`, `check_upload` and `check` do; no model is there that can, or a strip that
            is not of two.
    """
    if order.action is not Action.IMAGINE:
        return _job_of_uploads(asker, order, models, now)
    prompt = parse(order.prompt or "")
    model, parameters = chosen_model(prompt.parameters, models)
    job = _job(asker, order, prompt.text, parameters, model, now)
    check(job, model)
    return job


def child_job(asker: Asker, order: Order, parent: Job, models: Sequence[ModelInfo], now: datetime) -> Job:
    """UPSCALE, VARY and REROLL: the parent's prompt and parameters again, or the order's own.

    Raises:
        UserError: `no_such_picture` or `picture_flagged` for the parent's picture, `request_rejected` by the model.
    """
    model = model_of(parent, models)
    if order.action is Action.UPSCALE:
        seeds = (_picture_of(parent, order.index).seed,)
        job = _job(asker, order, parent.prompt, parent.parameters, model, now)
        job = replace(job, sampling=parent.sampling, seeds=seeds, model=parent.model)
        return replace(job, reference_count=parent.reference_count, moved_from=parent.moved_from)
    # Rolling a variation again starts from the same pictures, which the parent keeps copies of.
    strength, references, moved_from = parent.sampling.strength, parent.reference_count, parent.moved_from
    prompt, parameters = parent.prompt, replace(parent.parameters, seed=None)
    if order.action is Action.VARY:
        _picture_of(parent, order.index)
        if order.prompt is not None:
            remix = parse(order.prompt)
            prompt = remix.text
            model, parameters = chosen_model(remix.parameters, models, default=_whole(model, parent, models))
        # A model that knows image embeddings keeps the picture's own and draws new noise (Ramesh et al. 2022).
        references = int(Operation.VARIATION in model.operations)
        strength = 1.0 if references else VARY_STRENGTH
        moves = references and order.text_difference and parent.prompt not in ("", prompt)
        moved_from = parent.prompt if moves else None
    elif parent.action in (Action.DESCRIBE, Action.BLEND):
        order = replace(order, action=parent.action)
    job = _job(asker, order, prompt, parameters, model, now)
    # The values a job was made with outlive changes of the defaults, as long as its model is there.
    same = model.name == parent.model and replace(parameters, seed=None) == replace(
        parent.parameters, seed=None
    )
    sampling = heeded(parent.sampling, model) if same else job.sampling
    job = replace(job, sampling=replace(sampling, strength=strength))
    job = replace(job, reference_count=references, moved_from=moved_from)
    job = _stripped(job) if parent.strip and order.action is not Action.VARY else job
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
    job = replace(
        job,
        sampling=replace(sampling, strength=failed.sampling.strength),
        uploads=failed.uploads,
        reference_count=failed.reference_count,
        strip=failed.strip,
        moved_from=failed.moved_from,
    )
    if job.action is not Action.UPSCALE:
        check(job, model)
    return job


def check(job: Job, model: ModelInfo) -> None:
    """Ask the model's own rules before anything is stored. Raises UserError `request_rejected`."""
    sources = [Path(SOURCE)] * source_count(job)
    try:
        validate(rounded(request_of(job, model, sources), model), model)
    except RequestRejected as error:
        raise as_user_error(error) from error


def model_of(job: Job, models: Sequence[ModelInfo]) -> ModelInfo:
    """The job's model, or the default where its own is not offered any more."""
    return next((model for model in models if model.name == job.model), models[0])


def can_move(parent: Job, models: Sequence[ModelInfo]) -> bool:
    """Whether new words can move the parent's pictures along their difference from the old ones."""
    return bool(parent.prompt) and Operation.VARIATION in model_of(parent, models).operations


def _whole(model: ModelInfo, parent: Job, models: Sequence[ModelInfo]) -> ModelInfo:
    """The model that the parent's was the variant of for few steps; else its own."""
    if not parent.parameters.draft:
        return model
    return next((other for other in models if other.fast == model.name), model)


def _job_of_uploads(asker: Asker, order: Order, models: Sequence[ModelInfo], now: datetime) -> Job:
    for upload in order.uploads:
        check_upload(upload)
    if order.strip and len(order.uploads) != 2:
        raise UserError("strip_needs_two", got=len(order.uploads))
    describes = order.action is Action.DESCRIBE
    needed = Operation.DESCRIBE if describes else Operation.VARIATION
    model = next((model for model in models if needed in model.operations), None)
    if model is None:
        raise UserError("describe_unavailable") if describes else UserError("blend_unavailable")
    job = _job(asker, order, "", Parameters(aspect=order.aspect), model, now)
    uploads = tuple(upload.url for upload in order.uploads)
    job = replace(job, uploads=uploads, reference_count=len(uploads))
    job = _stripped(job) if order.strip else job
    check(job, model)
    return job


def _stripped(job: Job) -> Job:
    """One seed for all: what differs from picture to picture is then the place on the path alone."""
    return replace(job, strip=True, seeds=job.seeds[:1] * len(job.seeds))


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
