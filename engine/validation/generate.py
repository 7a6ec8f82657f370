"""Whether a model can make the pictures that are asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from engine.catalog import FAMILIES, SAMPLER_MAX_STEPS, Guidance, ModelInfo, Operation
from engine.request import GenerateRequest, Hires, Reference, SamplingParams, same_case
from engine.validation.basics import check_count, check_seeds, check_text, nearest, reject

MAX_STEPS = 500
MAX_GUIDANCE_SCALE = 100
MAX_PROMPT_PARTS = 32
"""Of a multi-prompt: each is a text of its own to encode, and nobody steps meanwhile."""
MAX_ADAPTERS = 8
MAX_ADAPTER_WEIGHT = 10.0
MAX_EMBEDDINGS = 32
MAX_EMBEDDING_WORD = 64
"""Characters."""
MAX_REFERENCES = 5
MAX_REFERENCE_WEIGHT = 100.0

_ESCAPED = re.compile(r"\\[()\[\]:\\]")
_PART_END = re.compile(r"::(?:-?(?:\d+(?:\.\d+)?|\.\d+)(?!\w|\.\d))?", re.ASCII)
"""As the models that read parts find them, in `worker/prompts/syntax.py`."""

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")

_UNETS = ("stable-diffusion", "stable-diffusion-xl")
_PRIORS = tuple(key for key, family in FAMILIES.items() if "prior" in family.stages)
_READ_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("embeddings", "clip_skip", "tiling", "timestep_spacing"), _UNETS),
    "guidance_rescale": (*_UNETS, "z-image"),
    **dict.fromkeys(("adapters", "vae"), (*_UNETS, "flux", "z-image")),
    **dict.fromkeys(("guidance_interval", "stop", "hires"), (*_UNETS, "flux", "z-image", "kandinsky")),
    **dict.fromkeys(("prior_num_inference_steps", "prior_guidance_scale"), _PRIORS),
}
"""The families that read what a request need not say; elsewhere it would be left out in silence, so it is refused."""

_WHY_NOT: Mapping[tuple[str, str], str] = {
    ("kandinsky", "embeddings"): "its text encoder is not the one that embeddings are trained with",
    ("kandinsky", "clip_skip"): "its prior was trained on the last layer of its text encoder",
    ("kandinsky", "vae"): "its latents are a VQ autoencoder's, which no other model shares",
} | {
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


def check_generate(request: GenerateRequest, model: ModelInfo) -> None:
    """Check what is asked of pictures, after `rounded_sides`. Raises RequestRejected."""
    _check_beginnings(request)
    _check_texts(request, model)
    check_count(request, "seeds, one per picture")
    check_seeds(request.seeds)
    _check_steps(request.params, model)
    _check_ranges(request.params)
    _check_what_is_read(request, model)
    _check_reference(request.reference)
    _check_adapters(request)
    _check_embeddings(request)
    if request.vae is not None and request.vae.suffix.lower() in _PICKLED:
        _reject_pickled("vae", "weights", request.vae)
    _check_sizes(request, model)


def rounded_sides(request: GenerateRequest, model: ModelInfo) -> GenerateRequest:
    """As `validation.rounded` promises."""

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


def _check_beginnings(request: GenerateRequest) -> None:
    """What is given beside the text has to be what the operation begins with."""
    drawn_over = request.operation in (Operation.IMAGE_TO_IMAGE, Operation.INPAINT)
    if drawn_over != (request.init_image is not None):
        reject(
            "init_image_mismatch",
            "An initial picture is given exactly when the operation is image-to-image or inpaint; this one is"
            f" {request.operation} {'without' if request.init_image is None else 'with'} one.",
            operation=request.operation,
        )
    if (request.operation is Operation.INPAINT) != (request.mask is not None):
        reject(
            "mask_mismatch",
            f"A mask is given exactly when the operation is inpaint; this one is {request.operation}"
            f" {'without' if request.mask is None else 'with'} one. White in the mask is drawn anew, black is kept.",
            operation=request.operation,
        )
    if (request.operation is Operation.VARIATION) != (request.reference is not None):
        reject(
            "reference_mismatch",
            f"Pictures to refer to are given exactly when the operation is variation; this one is {request.operation}"
            f" {'without' if request.reference is None else 'with'} any.",
            operation=request.operation,
        )


def _check_reference(reference: Reference | None) -> None:
    if reference is None:
        return
    count = len(reference.pictures)
    if not 1 <= count <= MAX_REFERENCES:
        reject(
            "references_out_of_range",
            f"1 to {MAX_REFERENCES} pictures can be blended; these are {count}.",
            got=count,
            maximum=MAX_REFERENCES,
        )
    for path, weight in reference.pictures:
        if not 0 < weight <= MAX_REFERENCE_WEIGHT:
            reject(
                "reference_weight_out_of_range",
                f"The weight {weight:g} of {path.name} is outside (0, {MAX_REFERENCE_WEIGHT:g}]; 1 is usual.",
                got=weight,
                maximum=MAX_REFERENCE_WEIGHT,
            )
    if reference.strip and count != 2:
        reject("strip_needs_two", f"A strip leads from one picture to another; these are {count}.", got=count)
    if not 0.0 <= reference.turn <= 1.0:
        reject(
            "turn_out_of_range",
            f"A turn of {reference.turn:g} is outside 0 to 1; 0.25 to 0.5 is usual.",
            got=reference.turn,
        )


def _check_texts(request: GenerateRequest, model: ModelInfo) -> None:
    moved_from = request.reference.moved_from if request.reference is not None else None
    for text in (request.prompt, request.params.negative_prompt, moved_from or ""):
        check_text(text)
        if model.family in _UNETS and (parts := count_parts(text)) > MAX_PROMPT_PARTS:
            reject(
                "prompt_parts_out_of_range",
                f"A prompt has at most {MAX_PROMPT_PARTS} parts between ::, this one has {parts}. Leave some out, or write"
                " commas in place of :: between those of one weight.",
                got=parts,
                maximum=MAX_PROMPT_PARTS,
            )


def _check_steps(params: SamplingParams, model: ModelInfo) -> None:
    if params.sampler not in model.samplers:
        reject(
            "sampler_unknown",
            f"The sampler {params.sampler!r} is not one of {', '.join(model.samplers)}.",
            sampler=params.sampler,
            allowed=", ".join(model.samplers),
        )
    most_steps = SAMPLER_MAX_STEPS.get(params.sampler, MAX_STEPS)
    if not 1 <= params.num_inference_steps <= most_steps:
        reject(
            "steps_out_of_range",
            f"{params.num_inference_steps} steps are outside 1 to {most_steps}, the range of the sampler"
            f" {params.sampler}. The nearest is {nearest(params.num_inference_steps, 1, most_steps)}.",
            got=params.num_inference_steps,
            minimum=1,
            maximum=most_steps,
            nearest=nearest(params.num_inference_steps, 1, most_steps),
        )
    if params.timestep_spacing not in ("", "trailing"):
        reject(
            "timestep_spacing_unknown",
            f"A timestep spacing of {params.timestep_spacing!r} is not known. Use trailing, or leave it out.",
            got=params.timestep_spacing,
            allowed="trailing",
        )
    if params.timestep_spacing and params.sampler in SAMPLER_MAX_STEPS:
        reject(
            "timestep_spacing_unsupported",
            f"The sampler {params.sampler} picks its steps out of those that its model was distilled from, and reads no"
            " timestep spacing. Leave it out, or choose another sampler.",
            got=params.timestep_spacing,
            sampler=params.sampler,
        )


def _check_ranges(params: SamplingParams) -> None:
    if not 0.0 <= params.guidance_scale <= MAX_GUIDANCE_SCALE:
        closest = nearest(params.guidance_scale, 0, MAX_GUIDANCE_SCALE)
        reject(
            "guidance_out_of_range",
            f"A guidance scale of {params.guidance_scale:g} is outside 0 to {MAX_GUIDANCE_SCALE}. The nearest is {closest}.",
            got=params.guidance_scale,
            minimum=0,
            maximum=MAX_GUIDANCE_SCALE,
            nearest=closest,
        )
    if not 0.0 < params.strength <= 1.0:
        reject(
            "strength_out_of_range",
            f"A strength of {params.strength} is outside (0, 1].",
            got=params.strength,
        )
    if params.clip_skip is not None and params.clip_skip < 1:
        reject(
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
        (
            "prior_guidance_scale",
            f"{params.prior_guidance_scale:g}",
            0.0 <= params.prior_guidance_scale <= MAX_GUIDANCE_SCALE,
            f"0 to {MAX_GUIDANCE_SCALE}",
        ),
        (
            "prior_num_inference_steps",
            str(params.prior_num_inference_steps),
            1 <= params.prior_num_inference_steps <= MAX_STEPS,
            f"1 to {MAX_STEPS}",
        ),
    ):
        if not fits:
            reject(
                f"{name}_out_of_range", f"A {name.replace('_', ' ')} of {got} is outside {allowed}.", got=got
            )


def _check_what_is_read(request: GenerateRequest, model: ModelInfo) -> None:
    """Refuse what the model would leave out in silence."""
    params = request.params
    for name, families in _READ_BY.items():
        asked = request if hasattr(request, name) else params
        if getattr(asked, name) != getattr(type(asked), name) and model.family not in families:
            why = _WHY_NOT.get((model.family, name))
            reject(
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
                reject(
                    f"{name}_unsupported",
                    f"{model.title} reads no {what}: it was distilled {distilled}. Leave it out, or choose another model.",
                )


def _check_sizes(request: GenerateRequest, model: ModelInfo) -> None:
    params = request.params
    sides = [("width", params.width), ("height", params.height)]
    if params.hires is not None:
        _check_hires(request, params.hires)
        sides += [("width", params.hires.width), ("height", params.hires.height)]
    for side, got in sides:
        closest = _legal_side(got, model)
        if got != closest:
            reject(
                "size_unsupported",
                f"A {side} of {got} px does not fit {model.title}: {model.min_side} to {model.max_side} px"
                f" in steps of {model.size_multiple}. The nearest is {closest} px.",
                side=side,
                got=got,
                minimum=model.min_side,
                maximum=model.max_side,
                multiple=model.size_multiple,
                nearest=closest,
            )


def _check_hires(request: GenerateRequest, hires: Hires) -> None:
    params = request.params
    if not 0.0 < hires.strength <= 1.0:
        reject(
            "hires_strength_out_of_range",
            f"A strength of {hires.strength} for the second pass is outside (0, 1]; 0.3 to 0.6 is usual.",
            got=hires.strength,
        )
    if request.operation is not Operation.TEXT_TO_IMAGE:
        reject(
            "hires_operation_unsupported",
            f"Two passes begin with a text alone; this request is {request.operation}. Leave hires out.",
            operation=request.operation,
        )
    if hires.width > params.width or hires.height > params.height:
        reject(
            "hires_not_smaller",
            f"The first pass of {hires.width} × {hires.height} px is larger than the picture,"
            f" {params.width} × {params.height} px.",
            got=f"{hires.width} × {hires.height}",
            maximum=f"{params.width} × {params.height}",
        )


def _check_adapters(request: GenerateRequest) -> None:
    if len(request.adapters) > MAX_ADAPTERS:
        reject(
            "adapters_out_of_range",
            f"A request takes at most {MAX_ADAPTERS} LoRAs; this one names {len(request.adapters)}.",
            got=len(request.adapters),
            maximum=MAX_ADAPTERS,
        )
    for path, weight in request.adapters:
        if path.suffix.lower() != ".safetensors":
            _reject_pickled("adapter", "LoRAs", path)
        if not abs(weight) <= MAX_ADAPTER_WEIGHT:
            reject(
                "adapter_weight_out_of_range",
                f"The weight {weight} of {path.name} is outside {-MAX_ADAPTER_WEIGHT:g} to {MAX_ADAPTER_WEIGHT:g};"
                " 0.5 to 1 is usual.",
                adapter=path.name,
                got=weight,
                maximum=MAX_ADAPTER_WEIGHT,
            )


def _check_embeddings(request: GenerateRequest) -> None:
    if len(request.embeddings) > MAX_EMBEDDINGS:
        reject(
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
            reject(
                "embedding_word_unusable",
                f"An embedding cannot be called {word!r}: its word has 1 to {MAX_EMBEDDING_WORD} characters, none of"
                " them a space, a bracket, a colon or a backslash.",
                word=word,
                maximum=MAX_EMBEDDING_WORD,
            )
        if same_case(word) in words:
            reject("embedding_word_twice", f"Two embeddings are called {word!r}; rename one.", word=word)
        words.add(same_case(word))


def _legal_side(got: int, model: ModelInfo) -> int:
    """The nearest number of pixels that the model can draw; of two, the larger."""
    multiple = model.size_multiple
    least, most = math.ceil(model.min_side / multiple), model.max_side // multiple
    return nearest((2 * got + multiple) // (2 * multiple), least, most) * multiple


def _reject_pickled(name: str, what: str, path: Path) -> NoReturn:
    reject(
        f"{name}_not_safetensors",
        f"{path.name} is not a .safetensors file. Pickled {what} can run any program when they are opened, so they are"
        " refused; use the .safetensors version.",
        **{name: path.name},
    )
