"""Which file holds which family. The keys are those of `engine.catalog.FAMILIES`; a test holds them equal."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.worker.interface import LoadedFamily

FAMILY_CLASSES = {
    "auto-pipeline": ("engine.worker.models.auto_pipeline", "AutoPipeline"),
    "clip": ("engine.worker.models.clip", "Clip"),
    "flux": ("engine.worker.models.flux", "Flux"),
    "kandinsky": ("engine.worker.models.kandinsky", "Kandinsky"),
    "stable-diffusion": ("engine.worker.models.stable_diffusion", "StableDiffusion"),
    "super-resolution": ("engine.worker.models.super_resolution", "SuperResolutionModel"),
    "stable-unclip": ("engine.worker.models.stable_unclip", "StableUnCLIP"),
    "unclip": ("engine.worker.models.unclip", "UnCLIP"),
    "z-image": ("engine.worker.models.z_image", "ZImage"),
    "stable-diffusion-xl": ("engine.worker.models.stable_diffusion_xl", "StableDiffusionXL"),
}


def make_family(family: str, components: Any, *, exact: bool) -> LoadedFamily:
    """Import the family's file, only now, and build it around loaded components."""
    module, name = FAMILY_CLASSES[family]
    loaded: LoadedFamily = getattr(import_module(module), name)(components, exact=exact)
    return loaded
