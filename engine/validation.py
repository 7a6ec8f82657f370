"""Whether a model can make what is asked: every request is checked once, at the door."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from engine.catalog import SAMPLER_MAX_STEPS, Guidance, ModelInfo, Operation
from engine.errors import RequestRejected
from engine.request import MAX_SEED, Hires, Request, SamplingParams, same_case

MAX_PICTURES = 16
MAX_STEPS = 500
MAX_GUIDANCE_SCALE = 100
MIN_SHARE_WEIGHT, MAX_SHARE_WEIGHT = 0.001, 1000.0
"""Beyond, one share's service would be beyond counting, or its turn beyond waiting for."""
MAX_PROMPT_PARTS = 32
"""Of a multi-prompt: each is a text of its own to encode, and nobody steps meanwhile."""
MAX_ADAPTERS = 8
MAX_ADAPTER_WEIGHT = 10.0
MAX_EMBEDDINGS = 32
MAX_EMBEDDING_WORD = 64
"""Characters."""

_ESCAPED = re.compile(r"\\[()\[\]:\\]")
_PART_END = re.compile(r"::(?:-?(?:\d+(?:\.\d+)?|\.\d+)(?!\w|\.\d))?", re.ASCII)
"""As the models that read parts find them, in `worker/prompts/syntax.py`."""

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")

_UNETS = ("stable-diffusion", "stable-diffusion-xl")
_READ_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("embeddings", "clip_skip", "tiling", "timestep_spacing"), _UNETS),
    "guidance_rescale": (*_UNETS, "z-image"),
    **dict.fromkeys(("adapters", "vae", "guidance_interval", "stop", "hires"), (*_UNETS, "flux", "z-image")),
}
"""The families that read what a request need not say; elsewhere it would be left out in silence, so it is refused."""

_WHY_NOT: Mapping[tuple[str, str], str] = {
    (family, name): why
    for family in ("flux", "z-image")
    for name, why in (
        (
            "embeddings",
            "embeddings stand for words of CLIP, and its prompts are read by another text encoder",
        ),
        ("timestep_spacing", "its steps are laid out by the picture's size or by its own schedule"),
        ("clip_skip", "it was trained on one layer of each of its text encoders"),
        (
            "tiling",
            "it is told where in the picture every patch lies, so that no edge can go on at the opposite one",
        ),
        (
            "guidance_rescale",
            "it learnt its guidance scale as a condition, so that nothing is there to bring back",
        ),
    )
}
"""By family: why what it does not read has no meaning for it."""


def validate(request: Request, model: ModelInfo) -> None:
    """Check a request against the model once, at the door, after `rounded`.

    Raises:
        RequestRejected: with a code, what was got and what is allowed; nothing has been queued.
    """
    _check_operation(request, model)
    _check_texts(request, model)
    _check_seeds(request)
    _check_steps(request.params, model)
    _check_ranges(request.params)
    _check_what_is_read(request, model)
    _check_adapters(request)
    _check_embeddings(request)
    if request.vae is not None and request.vae.suffix.lower() in _PICKLED:
        _reject_pickled("vae", "weights", request.vae)
    _check_sizes(request, model)
    _check_share(request)


def rounded(request: Request, model: ModelInfo) -> Request:
    """The request with sides that the model can draw, where they lie between its least and most but are no multiples of
    its steps. What lies outside stays, for `validate` to refuse: so far from what was asked, nobody would be served.
    """

    def side(got: int) -> int:
        return _legal_side(got, model) if model.min_side <= got <= model.max_side else got

    params = request.params
    fitted = replace(params, width=side(params.width), height=side(params.height))
    if params.hires is not None:
        hires = replace(params.hires, width=side(params.hires.width), height=side(params.hires.height))
        fitted = replace(fitted, hires=hires)
    return request if fitted == params else replace(request, params=fitted)


def count_parts(prompt: str) -> int:
    """How many texts stand between the `::` of a multi-prompt, which Stable Diffusion and SDXL encode each for itself."""
    return sum(1 for text in _PART_END.split(_ESCAPED.sub("(", prompt)) if text.strip())


def _check_operation(request: Request, model: ModelInfo) -> None:
    if request.operation not in model.operations:
        _reject(
            "operation_unsupported",
            f"{model.title} cannot do {request.operation}; it can do {', '.join(model.operations)}.",
            operation=request.operation,
            allowed=", ".join(model.operations),
        )
    if (request.operation is not Operation.TEXT_TO_IMAGE) != (request.init_image is not None):
        _reject(
            "init_image_mismatch",
            "An initial picture is given exactly when the operation is image-to-image or inpaint; this one is"
            f" {request.operation} {'without' if request.init_image is None else 'with'} one.",
            operation=request.operation,
        )
    if (request.operation is Operation.INPAINT) != (request.mask is not None):
        _reject(
            "mask_mismatch",
            f"A mask is given exactly when the operation is inpaint; this one is {request.operation}"
            f" {'without' if request.mask is None else 'with'} one. White in the mask is drawn anew, black is kept.",
            operation=request.operation,
        )


def _check_texts(request: Request, model: ModelInfo) -> None:
    for text in (request.prompt, request.params.negative_prompt):
        # Python lets them into strings; no text encoder, file or database takes them.
        if half := next((char for char in text if 0xD800 <= ord(char) <= 0xDFFF), None):
            _reject(
                "prompt_not_text",
                f"The prompt holds half a character (U+{ord(half):X}), which is no text. Type it anew.",
                got=f"U+{ord(half):X}",
            )
        if model.family in _UNETS and (parts := count_parts(text)) > MAX_PROMPT_PARTS:
            _reject(
                "prompt_parts_out_of_range",
                f"A prompt has at most {MAX_PROMPT_PARTS} parts between ::, this one has {parts}. Leave some out, or write"
                " commas in place of :: between those of one weight.",
                got=parts,
                maximum=MAX_PROMPT_PARTS,
            )


def _check_seeds(request: Request) -> None:
    if not 1 <= len(request.seeds) <= MAX_PICTURES:
        _reject(
            "pictures_out_of_range",
            f"A request holds 1 to {MAX_PICTURES} seeds, one per picture; this one holds"
            f" {len(request.seeds)}.",
            got=len(request.seeds),
            maximum=MAX_PICTURES,
        )
    for seed in request.seeds:
        if not 0 <= seed <= MAX_SEED:
            _reject(
                "seed_out_of_range",
                f"The seed {seed} is outside 0 to {MAX_SEED}.",
                got=seed,
                maximum=MAX_SEED,
            )


def _check_steps(params: SamplingParams, model: ModelInfo) -> None:
    if params.sampler not in model.samplers:
        _reject(
            "sampler_unknown",
            f"The sampler {params.sampler!r} is not one of {', '.join(model.samplers)}.",
            sampler=params.sampler,
            allowed=", ".join(model.samplers),
        )
    most_steps = SAMPLER_MAX_STEPS.get(params.sampler, MAX_STEPS)
    if not 1 <= params.num_inference_steps <= most_steps:
        _reject(
            "steps_out_of_range",
            f"{params.num_inference_steps} steps are outside 1 to {most_steps}, the range of the sampler"
            f" {params.sampler}. The nearest is {_nearest(params.num_inference_steps, 1, most_steps)}.",
            got=params.num_inference_steps,
            minimum=1,
            maximum=most_steps,
            nearest=_nearest(params.num_inference_steps, 1, most_steps),
        )
    if params.timestep_spacing not in ("", "trailing"):
        _reject(
            "timestep_spacing_unknown",
            f"A timestep spacing of {params.timestep_spacing!r} is not known. Use trailing, or leave it out.",
            got=params.timestep_spacing,
            allowed="trailing",
        )
    if params.timestep_spacing and params.sampler in SAMPLER_MAX_STEPS:
        _reject(
            "timestep_spacing_unsupported",
            f"The sampler {params.sampler} picks its steps out of those that its model was distilled from, and reads no"
            " timestep spacing. Leave it out, or choose another sampler.",
            got=params.timestep_spacing,
            sampler=params.sampler,
        )


def _check_ranges(params: SamplingParams) -> None:
    if not 0.0 <= params.guidance_scale <= MAX_GUIDANCE_SCALE:
        nearest = _nearest(params.guidance_scale, 0, MAX_GUIDANCE_SCALE)
        _reject(
            "guidance_out_of_range",
            f"A guidance scale of {params.guidance_scale:g} is outside 0 to {MAX_GUIDANCE_SCALE}. The nearest is {nearest}.",
            got=params.guidance_scale,
            minimum=0,
            maximum=MAX_GUIDANCE_SCALE,
            nearest=nearest,
        )
    if not 0.0 < params.strength <= 1.0:
        _reject(
            "strength_out_of_range",
            f"A strength of {params.strength} is outside (0, 1].",
            got=params.strength,
        )
    if params.clip_skip is not None and params.clip_skip < 1:
        _reject(
            "clip_skip_out_of_range",
            f"A clip skip of {params.clip_skip} is below 1. Leave it out to use every layer of the text encoder.",
            got=params.clip_skip,
        )
    begin, end = params.guidance_interval
    for name, got, fits, allowed in (
        ("guidance_rescale", params.guidance_rescale, 0.0 <= params.guidance_rescale <= 1.0, "0 to 1"),
        (
            "guidance_interval",
            f"{begin:g} to {end:g}",
            0.0 <= begin <= end <= 1.0,
            "0 to 1, from small to large",
        ),
        ("stop", params.stop, 0.0 < params.stop <= 1.0, "(0, 1]"),
    ):
        if not fits:
            _reject(
                f"{name}_out_of_range", f"A {name.replace('_', ' ')} of {got} is outside {allowed}.", got=got
            )


def _check_what_is_read(request: Request, model: ModelInfo) -> None:
    """Refuse what the model would leave out in silence."""
    params = request.params
    for name, families in _READ_BY.items():
        asked = request if hasattr(request, name) else params
        if getattr(asked, name) != getattr(type(asked), name) and model.family not in families:
            why = _WHY_NOT.get((model.family, name))
            _reject(
                f"{name}_unsupported",
                f"{model.title} does not read {name}{f': {why}' if why else ''}. Leave it out, or choose a model of one"
                f" of these families: {', '.join(families)}.",
                allowed=", ".join(families),
            )
    if not model.guidance.contrasts:
        for name in ("negative_prompt", "guidance_interval", "guidance_rescale"):
            if getattr(params, name) != getattr(SamplingParams, name):
                what = name.replace("_", " ")
                distilled = "to draw without guidance"
                if model.guidance is Guidance.CONDITION:
                    distilled = (
                        "to read its guidance scale as a condition, so that every picture takes one row"
                    )
                _reject(
                    f"{name}_unsupported",
                    f"{model.title} reads no {what}: it was distilled {distilled}. Leave it out, or choose another model.",
                )


def _check_sizes(request: Request, model: ModelInfo) -> None:
    params = request.params
    sides = [("width", params.width), ("height", params.height)]
    if params.hires is not None:
        _check_hires(request, params.hires)
        sides += [("width", params.hires.width), ("height", params.hires.height)]
    for side, got in sides:
        nearest = _legal_side(got, model)
        if got != nearest:
            _reject(
                "size_unsupported",
                f"A {side} of {got} px does not fit {model.title}: {model.min_side} to {model.max_side} px"
                f" in steps of {model.size_multiple}. The nearest is {nearest} px.",
                side=side,
                got=got,
                minimum=model.min_side,
                maximum=model.max_side,
                multiple=model.size_multiple,
                nearest=nearest,
            )


def _check_share(request: Request) -> None:
    if not MIN_SHARE_WEIGHT <= request.share_weight <= MAX_SHARE_WEIGHT:
        _reject(
            "share_weight_out_of_range",
            f"A share weight of {request.share_weight} is outside {MIN_SHARE_WEIGHT:g} to {MAX_SHARE_WEIGHT:g}; 1 is usual,"
            " and 2 is served twice as much.",
            got=request.share_weight,
            minimum=MIN_SHARE_WEIGHT,
            maximum=MAX_SHARE_WEIGHT,
        )


def _check_hires(request: Request, hires: Hires) -> None:
    params = request.params
    if not 0.0 < hires.strength <= 1.0:
        _reject(
            "hires_strength_out_of_range",
            f"A strength of {hires.strength} for the second pass is outside (0, 1]; 0.3 to 0.6 is usual.",
            got=hires.strength,
        )
    if request.operation is not Operation.TEXT_TO_IMAGE:
        _reject(
            "hires_operation_unsupported",
            f"Two passes begin with a text alone; this request is {request.operation}. Leave hires out.",
            operation=request.operation,
        )
    if hires.width > params.width or hires.height > params.height:
        _reject(
            "hires_not_smaller",
            f"The first pass of {hires.width} × {hires.height} px is larger than the picture,"
            f" {params.width} × {params.height} px.",
            got=f"{hires.width} × {hires.height}",
            maximum=f"{params.width} × {params.height}",
        )


def _check_adapters(request: Request) -> None:
    if len(request.adapters) > MAX_ADAPTERS:
        _reject(
            "adapters_out_of_range",
            f"A request takes at most {MAX_ADAPTERS} LoRAs; this one names {len(request.adapters)}.",
            got=len(request.adapters),
            maximum=MAX_ADAPTERS,
        )
    for path, weight in request.adapters:
        if path.suffix.lower() != ".safetensors":
            _reject_pickled("adapter", "LoRAs", path)
        if not abs(weight) <= MAX_ADAPTER_WEIGHT:
            _reject(
                "adapter_weight_out_of_range",
                f"The weight {weight} of {path.name} is outside {-MAX_ADAPTER_WEIGHT:g} to {MAX_ADAPTER_WEIGHT:g};"
                " 0.5 to 1 is usual.",
                adapter=path.name,
                got=weight,
                maximum=MAX_ADAPTER_WEIGHT,
            )


def _check_embeddings(request: Request) -> None:
    if len(request.embeddings) > MAX_EMBEDDINGS:
        _reject(
            "embeddings_out_of_range",
            f"A request takes at most {MAX_EMBEDDINGS} embeddings; this one names {len(request.embeddings)}.",
            got=len(request.embeddings),
            maximum=MAX_EMBEDDINGS,
        )
    words = set()
    for word, path in request.embeddings:
        if path.suffix.lower() != ".safetensors":
            _reject_pickled("embedding", "embeddings", path)
        # The prompt's own marks would take the word apart before it is looked for.
        if not 0 < len(word) <= MAX_EMBEDDING_WORD or set(word) & set("()[]:\\") or word.split() != [word]:
            _reject(
                "embedding_word_unusable",
                f"An embedding cannot be called {word!r}: its word has 1 to {MAX_EMBEDDING_WORD} characters, none of"
                " them a space, a bracket, a colon or a backslash.",
                word=word,
                maximum=MAX_EMBEDDING_WORD,
            )
        if same_case(word) in words:
            _reject("embedding_word_twice", f"Two embeddings are called {word!r}; rename one.", word=word)
        words.add(same_case(word))


def _legal_side(got: int, model: ModelInfo) -> int:
    """The nearest number of pixels that the model can draw; of two, the larger."""
    multiple = model.size_multiple
    least, most = math.ceil(model.min_side / multiple), model.max_side // multiple
    return _nearest((2 * got + multiple) // (2 * multiple), least, most) * multiple


def _nearest(got: float, low: int, high: int) -> int:
    """Of a number that is none, the low end."""
    return high if got > high else int(got) if got >= low else low


def _reject(code: str, sentence: str, **values: object) -> NoReturn:
    raise RequestRejected(code, sentence, **values)


def _reject_pickled(name: str, what: str, path: Path) -> NoReturn:
    _reject(
        f"{name}_not_safetensors",
        f"{path.name} is not a .safetensors file. Pickled {what} can run any program when they are opened, so they are"
        " refused; use the .safetensors version.",
        **{name: path.name},
    )
