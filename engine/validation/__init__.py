"""Whether a model can do what is asked: every request is checked once, at the door.

generate   pictures: sizes, steps, what the model reads
basics     what holds of every request
"""

from __future__ import annotations

from engine.catalog import ModelInfo
from engine.request import DescribeRequest, EmbedRequest, GenerateRequest, Request, UpscaleRequest
from engine.tiles import SCALES
from engine.validation.basics import check_count, check_seeds, check_share, check_text, reject
from engine.validation.generate import check_generate, count_parts, rounded_sides

__all__ = ["SCALES", "count_parts", "rounded", "roundings", "validate"]


def validate(request: Request, model: ModelInfo) -> None:
    """Check a request against the model once, at the door, after `rounded`.

    Raises:
        RequestRejected: with a code, what was got and what is allowed; nothing has been queued.
    """
    if request.operation not in model.operations:
        reject(
            "operation_unsupported",
            f"{model.title} cannot do {request.operation}; it can do {', '.join(model.operations)}.",
            operation=request.operation,
            allowed=", ".join(model.operations),
        )
    match request:
        case GenerateRequest():
            check_generate(request, model)
        case UpscaleRequest():
            check_count(request, "pictures")
            if request.scale not in SCALES:
                reject(
                    "scale_unsupported",
                    f"A scale of {request.scale} is not one of {', '.join(map(str, SCALES))}.",
                    got=request.scale,
                    allowed=", ".join(map(str, SCALES)),
                )
        case DescribeRequest():
            check_count(request, "seeds, one per prompt")
            check_seeds(request.seeds)
        case EmbedRequest():
            check_count(request, "pictures and texts")
            for text in request.texts:
                check_text(text)
    check_share(request)


def rounded(request: Request, model: ModelInfo) -> Request:
    """The request with sides that the model can draw, where they lie between its least and most but are no multiples of
    its steps. What lies outside stays, for `validate` to refuse: so far from what was asked, nobody would be served.
    """
    return rounded_sides(request, model) if isinstance(request, GenerateRequest) else request


def roundings(asked: Request, got: Request) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Width and height of the picture, and of the first of two passes, where they are not those that were asked for."""
    if not (isinstance(asked, GenerateRequest) and isinstance(got, GenerateRequest)):
        return None, None
    before, after = asked.params, got.params
    same = (before.width, before.height) == (after.width, after.height)
    hires = None if after.hires == before.hires or after.hires is None else after.hires
    return (
        None if same else (after.width, after.height),
        None if hires is None else (hires.width, hires.height),
    )
