"""What a picture goes through, known before anything of it is opened: its passes, their sizes, steps and rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.catalog import FAMILIES, Guidance, ModelInfo, Operation
from engine.request import DescribeRequest, EmbedRequest, GenerateRequest, Request, UpscaleRequest
from engine.tiles import tile_steps

PRIOR, SUPER_RESOLUTION = "prior", "super-resolution"
"""Stages before and after the one that draws."""
DIFFUSED_STEPS = 7
"""Of super-resolution by diffusion: what Karlo's two networks were trained for."""
DESCRIBE_STEPS = 8
"""What a prompt is chained of, a phrase each step, unless fewer fit better."""
USUAL_SIZE = (256, 256)
"""Of a picture that is to be enlarged, in pixels, until it has been opened."""
_FROM_THE_END = ("flux", "z-image")
"""Families whose pipelines in diffusers round what strength leaves out, not what it leaves."""


@dataclass(frozen=True)
class Pass:
    """One run through the steps of a stage at one size, in pixels of its result; 0 where sizes share a step."""

    stage: str
    """Of the family."""
    width: int
    height: int
    steps: int
    """Evaluations of the model: what a sampler that looks twice at every step but the last needs is counted."""


def passes(request: Request, model: ModelInfo) -> tuple[Pass, ...]:
    """What a picture, or whatever else is asked for, goes through one after the other."""
    stages = FAMILIES[model.family].stages
    match request:
        case GenerateRequest():
            return _drawn(request, model)
        case UpscaleRequest():
            # How large the pictures are is known once they are opened.
            return (Pass(stages[0], 0, 0, tile_steps(*USUAL_SIZE, request.scale)),)
        case DescribeRequest():
            return (Pass("describe", 0, 0, DESCRIBE_STEPS),)
        case EmbedRequest():
            return (Pass("embed", 0, 0, 1),)


def _drawn(request: GenerateRequest, model: ModelInfo) -> tuple[Pass, ...]:
    """One pass of the stage that draws, or two where a picture is made small first and then drawn over at its full size; the
    prior before it and super-resolution after it, where the family has them.
    """
    params, stages = request.params, FAMILIES[model.family].stages
    from_image = request.operation in (Operation.IMAGE_TO_IMAGE, Operation.INPAINT)
    sizes = [(params.width, params.height, params.strength if from_image else 1.0)]
    if params.hires is not None:
        hires = params.hires
        sizes = [(hires.width, hires.height, 1.0), (params.width, params.height, hires.strength)]
    has_prior = stages[0] == PRIOR
    drawing, steps = stages[has_prior], params.num_inference_steps
    made = [
        Pass(drawing, width, height, _evaluations(params.sampler, steps, strength, model.family))
        for width, height, strength in sizes
    ]
    made[-1] = replace(made[-1], steps=stopped_after(params.stop, made[-1].steps))
    if has_prior and request.operation is not Operation.VARIATION:
        made.insert(0, Pass(PRIOR, 0, 0, params.prior_num_inference_steps))
    if (scale := model.enlarges) > 1:
        steps = tile_steps(params.width // scale, params.height // scale, scale)
        made.append(Pass(SUPER_RESOLUTION, 0, 0, steps))
    elif stages[-1] == SUPER_RESOLUTION:
        made.append(Pass(SUPER_RESOLUTION, params.width, params.height, DIFFUSED_STEPS))
    return tuple(made)


def weight_of(request: Request, model: ModelInfo) -> int:
    """As how many rows of the model's native size each row of a picture counts; 1 where a step has a single size.

    Up to an eighth above the native size is let pass, as shapes never come out at quite the same size.
    """
    if not FAMILIES[model.family].mixes_sizes or not isinstance(request, GenerateRequest):
        return 1
    largest = max(each.width * each.height for each in passes(request, model))
    return max(1, math.ceil(largest / (model.native_width * model.native_height) - 1 / 8))


def rows_per_picture(request: Request, model: ModelInfo) -> int:
    """Its weight, twice where guidance adds an unconditional row."""
    if not isinstance(request, GenerateRequest):
        return 1
    match model.guidance:
        case Guidance.CLASSIFIER_FREE:
            params, has_prior = request.params, FAMILIES[model.family].stages[0] == PRIOR
            guided = params.guidance_scale > 1 or (has_prior and params.prior_guidance_scale > 1)
        case Guidance.FROM_ZERO:
            guided = request.params.guidance_scale > 0
        case Guidance.EMBEDDED:
            guided = bool(request.params.negative_prompt)
        case Guidance.CONDITION | Guidance.NONE:
            guided = False
    return weight_of(request, model) * (2 if guided else 1)


def stopped_after(stop: float, steps: int) -> int:
    """How many steps are run of the last pass, at least one."""
    # 30 × 0.1 is a little more than 3 in floating point.
    return max(1, math.ceil(round(stop * steps, 6)))


def _evaluations(sampler: str, steps: int, strength: float, family: str) -> int:
    if FAMILIES[family].alone:
        return steps  # Whatever diffusers' own pipeline makes of them.
    if family in _FROM_THE_END:
        run = steps - min(int(max(steps - min(steps * strength, steps), 0)), steps - 1)
    else:
        run = max(1, min(int(steps * strength), steps))
    return 2 * run - 1 if sampler == "heun" else run
