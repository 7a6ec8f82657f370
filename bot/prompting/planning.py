"""A job → what the engine is asked. Pure, so that bot and CLI share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.domain import Action, Job, Parameters
from engine import GenerateRequest, ModelInfo, Operation, SamplingParams
from engine.request import MAX_SEED, DescribeRequest, Reference

DEFAULT_PICTURES = 4
VARY_STRENGTH = 0.8
"""The share of the schedule a variation runs: enough to differ at a glance, too little to lose the idea."""


def request_of(job: Job, model: ModelInfo, sources: Sequence[Path]) -> GenerateRequest | DescribeRequest:
    """What a job asks the engine for; `sources` are its own copies of the pictures that it starts from."""
    if job.action is Action.DESCRIBE:
        return DescribeRequest(
            request_id=job.id.hex,
            model=model.name,
            image=sources[0],
            seeds=job.seeds,
            share_key=str(job.owner_id),
            submitted_at=job.created_at.timestamp(),
        )
    if job.reference_count:
        return plan(job, model, None, sources)
    return plan(job, model, sources[0] if sources else None)


def source_count(job: Job) -> int:
    """How many pictures a job starts from."""
    return job.reference_count or int(job.sampling.strength < 1)


def plan(
    job: Job, model: ModelInfo, init_image: Path | None, references: Sequence[Path] = ()
) -> GenerateRequest:
    """The request that makes a job's pictures; with an initial picture it is image-to-image, with references a variation."""
    reference = None
    operation = Operation.IMAGE_TO_IMAGE if init_image else Operation.TEXT_TO_IMAGE
    if references:
        operation = Operation.VARIATION
        weighted = tuple((path, 1.0) for path in references)
        reference = Reference(pictures=weighted, strip=job.strip, moved_from=job.moved_from)
    few = model.few_steps if job.parameters.draft else None
    return GenerateRequest(
        request_id=job.id.hex,
        model=model.name,
        adapters=() if few is None else ((few.adapter, 1.0),),
        prompt=job.prompt,
        params=heeded(job.sampling, model),
        seeds=job.seeds,
        operation=operation,
        init_image=init_image,
        reference=reference,
        share_key=str(job.owner_id),
        submitted_at=job.created_at.timestamp(),
    )


def sampling_for(parameters: Parameters, model: ModelInfo) -> SamplingParams:
    """The parameters and, for what they leave open, the model's defaults. What the model cannot heed is left out."""
    width, height = size_for(parameters.aspect, model)
    sampling = SamplingParams(
        num_inference_steps=model.default_steps,
        guidance_scale=model.default_guidance_scale,
        sampler=model.default_sampler,
        width=width,
        height=height,
        negative_prompt=", ".join(parameters.no),
    )
    if parameters.draft and (few := model.few_steps) is not None:
        sampling = replace(
            sampling,
            num_inference_steps=few.num_inference_steps,
            guidance_scale=few.guidance_scale,
            sampler=few.sampler,
            # Without guidance there is nothing to be led away from.
            negative_prompt=sampling.negative_prompt if few.guidance_scale > 1 else "",
        )
    return heeded(sampling, model)


def heeded(sampling: SamplingParams, model: ModelInfo) -> SamplingParams:
    """What of it the model reads: of one that is not downloaded yet, that was not known when it was chosen."""
    return sampling if model.guidance.contrasts else replace(sampling, negative_prompt="")


def size_for(aspect: tuple[int, int] | None, model: ModelInfo) -> tuple[int, int]:
    """Width and height in pixels: about the model's native area, in its steps, between its least and most."""
    if aspect is None:
        return model.native_width, model.native_height
    ratio = aspect[0] / aspect[1]
    area = model.native_width * model.native_height
    # Where one side would leave the model's range, both shrink, so that the shape stays as asked.
    longer = min(math.sqrt(area * max(ratio, 1 / ratio)), model.max_side)
    shorter = longer * min(ratio, 1 / ratio)
    least = math.ceil(model.min_side / model.size_multiple) * model.size_multiple
    most = model.max_side // model.size_multiple * model.size_multiple
    sides = (
        min(max(round(side / model.size_multiple) * model.size_multiple, least), most)
        for side in ((longer, shorter) if ratio >= 1 else (shorter, longer))
    )
    return next(sides), next(sides)


def asked_size(job: Job, width: int, height: int) -> str | None:
    """The shape or size that was asked for, as one says it, where pictures of this size are another; else None."""
    if job.parameters.aspect is not None:
        across, down = job.parameters.aspect
        return None if width * down == height * across else f"{across}:{down}"
    asked = (job.sampling.width, job.sampling.height)
    return None if (width, height) == asked else f"{asked[0]} × {asked[1]}"


def unheeded(job: Job) -> tuple[str, ...]:
    """The parameters that were asked for and that the model cannot heed."""
    no = ("--no",) if job.parameters.no and not job.sampling.negative_prompt else ()
    draft = ("--draft",) if job.parameters.draft is False else ()
    return no + draft + (("--best",) if job.parameters.best is False else ())


def picture_seeds(seed: int, count: int) -> tuple[int, ...]:
    """One seed per picture, counting up from the first and wrapping at 2³²."""
    return tuple((seed + index) % (MAX_SEED + 1) for index in range(count))
