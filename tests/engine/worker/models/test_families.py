"""Families are copied before they are abstracted: what two say alike is mended in both, or in neither."""

from __future__ import annotations

import inspect

import pytest

from engine.worker.models import flux, stable_diffusion, stable_diffusion_xl, z_image

DENOISING = ("denoise", "_decode", "_of", "_schedule", "_noise", "_region", "_guidance_embedding")


@pytest.mark.parametrize(
    "name", [*(f"_Denoise.{method}" for method in DENOISING), "_rescaled", "_at_least_float32"]
)
def test_sdxl_does_as_stable_diffusion_does(name: str) -> None:
    one, other = stable_diffusion, stable_diffusion_xl
    for part in name.split("."):
        one, other = getattr(one, part), getattr(other, part)
    assert inspect.getsource(one) == inspect.getsource(other)


@pytest.mark.parametrize("name", ["save_memory", "read_weights"])
def test_transformers_read_and_save_alike(name: str) -> None:
    assert inspect.getsource(getattr(flux.Flux, name)) == inspect.getsource(getattr(z_image.ZImage, name))
