"""What is taken for granted of a model of some family, until its files say otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.catalog.families import FAMILIES, KNOWN_MODELS, Family, ModelInfo
from engine.catalog.files import tensor_bytes, weight_files, weights_hash
from engine.errors import ModelUnavailable

_SAMPLER_OF_SCHEDULER = {
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_a",
    "DPMSolverMultistepScheduler": "dpmpp_2m_karras",
    "UniPCMultistepScheduler": "unipc",
    "HeunDiscreteScheduler": "heun",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
}


def assumed(name: str, family_name: str, family: Family, *, present: bool) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=Path(name).name,
        family=family_name,
        native_width=family.native_side,
        native_height=family.native_side,
        size_multiple=family.size_multiple,
        min_side=family.native_side // 4,
        max_side=2 * family.native_side,
        operations=family.operations,
        samplers=family.samplers,
        default_steps=family.default_steps,
        default_guidance_scale=family.default_guidance_scale,
        default_sampler=family.default_sampler,
        memory_bytes=0,
        licence=KNOWN_MODELS[name][1] if name in KNOWN_MODELS else "unknown: see the model's own page",
        hash="",
        present=present,
        guidance=family.guidance,
    )


def with_card(
    info: ModelInfo,
    card: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    native: tuple[int, int],
    factor: int,
) -> ModelInfo:
    """What fourfold.json says, else the configurations. Raises ValueError and the like for values that cannot be."""
    native_width, native_height = sides(card.get("native_size", native))
    multiple = math.lcm(info.size_multiple, factor)
    smallest = max(multiple, min(native_width, native_height) // 4 // multiple * multiple)
    min_side, max_side = sides(
        (card.get("min_side", smallest), card.get("max_side", 2 * max(native_width, native_height)))
    )
    defaults = card.get("defaults", {})
    own_sampler = _SAMPLER_OF_SCHEDULER.get(scheduler.get("_class_name", ""), info.default_sampler)
    sampler = defaults.get("sampler", own_sampler)
    # diffusers' Heun cannot step by what predicts the picture itself.
    samplers = tuple(
        name for name in info.samplers if name != "heun" or scheduler.get("prediction_type") != "sample"
    )
    if sampler not in samplers:
        raise ValueError(f"{sampler!r} is none of the samplers {', '.join(samplers)}")
    distilled = _looks_distilled(scheduler)
    steps = 4 if sampler in ("lcm", "tcd") or distilled else info.default_steps
    words = card.get("vocabulary")
    if isinstance(words, Mapping):
        words = [word for group in words.values() for word in group]
    return replace(
        info,
        title=str(card.get("title", info.title)),
        licence=str(card.get("licence", info.licence)),
        samplers=samplers,
        native_width=native_width,
        native_height=native_height,
        size_multiple=multiple,
        min_side=min_side,
        max_side=max_side,
        default_steps=int(defaults.get("num_inference_steps", steps)),
        default_guidance_scale=float(
            defaults.get("guidance_scale", 1.0 if distilled else info.default_guidance_scale)
        ),
        default_sampler=sampler,
        vocabulary=None if words is None else frozenset(word.lower() for word in words),
    )


def with_weights(info: ModelInfo, folder: Path) -> ModelInfo:
    weights = [file for _, file in weight_files(folder)]
    if not weights:
        raise ModelUnavailable(
            "model_without_safetensors",
            f"{info.name} holds no .safetensors weights; pickled weights are refused, because they can run any"
            " program when they are opened.",
            model=info.name,
        )
    return replace(info, memory_bytes=sum(map(tensor_bytes, weights)), hash=weights_hash(weights))


def sides(value: Any) -> tuple[int, int]:
    """Of one number or two, each a length."""
    sides = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    for side in sides:
        if not isinstance(side, int) or side < 1:
            raise ValueError(f"{side!r} is no length of a side")
    return sides[0], sides[1]


def _looks_distilled(scheduler: Mapping[str, object]) -> bool:
    """Turbo and Lightning models say of themselves only that their few steps start at the very last timestep.

    Models with zero terminal SNR start there too, but take as many steps and as much guidance as any.
    """
    return (
        scheduler.get("timestep_spacing") == "trailing"
        and scheduler.get("prediction_type", "epsilon") == "epsilon"
        and not scheduler.get("rescale_betas_zero_snr", False)
    )


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Within, values of a file, or of the files of a model, are taken as what they should be. Raises ModelUnavailable."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ModelUnavailable(
            "model_unreadable",
            f"{path} holds a value that cannot be what is meant there ({reason}). Put it right, or download the model again.",
            path=str(path),
            reason=reason,
        ) from error


def unsupported(name: str, what: str) -> ModelUnavailable:
    supported = ", ".join(
        f"{key} ({' / '.join(family.pipelines)})" for key, family in FAMILIES.items() if family.pipelines
    )
    return ModelUnavailable(
        "model_unsupported",
        f"{name} is {what}, which is not supported. Supported families: {supported}.",
        model=name,
        what=what,
        supported=supported,
    )
