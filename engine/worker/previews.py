"""Thumbnails of pictures that are not done, from the final latents that the last step foresaw."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

log = logging.getLogger(__name__)

MAX_SIDE = 128
"""Pixels; a preview is a glance, and it travels through chat messages."""

_SMALL_DECODER = 6_000_000
"""Parameters up to which decoding a preview costs about as much as a denoising step, or less."""

Estimate = Callable[[torch.Tensor], torch.Tensor]


def make_estimate(vae: Any, scaling_factor: float) -> Estimate:
    """How latents (n, c, h, w) become RGB in −1…1: by the VAE where it is small, else by a linear fit."""
    if _decodes_cheaply(vae):
        return lambda latents: vae.decode(latents / scaling_factor, return_dict=False)[0]
    return _linear_fit(vae, scaling_factor)


def make_rough_estimate(vae: Any, scaling_factor: float) -> Estimate | None:
    """The linear fit, at the size of a decoded picture, for what shows no more than colours yet; None where the estimate is
    the fit anyway. Even a small decoder takes as long as a step, which is too much for every picture's first.
    """
    if not _decodes_cheaply(vae):
        return None
    fit, factor = _linear_fit(vae, scaling_factor), 2 ** (len(vae.config.block_out_channels) - 1)
    return lambda latents: functional.interpolate(fit(latents), scale_factor=factor, mode="bicubic")


def thumbnails(rgb: torch.Tensor) -> list[npt.NDArray[np.uint8]]:
    """(n, 3, h, w) in −1…1 → n uint8 (h, w, 3), scaled down to MAX_SIDE."""
    side = max(rgb.shape[-2:])
    if side > MAX_SIDE:
        height, width = (max(1, round(length * MAX_SIDE / side)) for length in rgb.shape[-2:])
        rgb = functional.interpolate(rgb.float(), (height, width), mode="area")
    pixels = (rgb.float() * 0.5 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())


def _decodes_cheaply(vae: Any) -> bool:
    return sum(parameter.numel() for parameter in vae.decoder.parameters()) <= _SMALL_DECODER


@torch.inference_mode()
def _linear_fit(vae: Any, scaling_factor: float) -> Estimate:
    """Fit latents → RGB by least squares on charts of coloured patches, encoded once when the model is
    loaded.

    The latents of Stable Diffusion's autoencoders are nearly linear in colour, so that a matrix shows
    composition and palette at no cost.
    https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204 reports the same of SD
    1.4.
    """
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand(4, 3, 4, 4, generator=generator, dtype=torch.float32)
    charts = functional.interpolate(patches, size=(128, 128), mode="bilinear") * 2 - 1
    parameter = next(vae.parameters())
    # One after the other, because others' steps compute meanwhile, and wait for every large convolution.
    encoded = [vae.encode(chart[None].to(parameter.device, parameter.dtype)) for chart in charts]
    latents = scaling_factor * torch.cat(
        [each.latent_dist.mode() if hasattr(each, "latent_dist") else each.latents for each in encoded]
    )
    if not torch.isfinite(latents).all():
        # It overflows in half precision, or is damaged, which decoding tells whoever asks for a picture.
        log.warning(
            "an autoencoder made something that is no number of coloured charts; previews may be blank"
        )
        latents = latents.nan_to_num(0.0, 0.0, 0.0)
    height, width = latents.shape[-2:]
    colours = functional.adaptive_avg_pool2d(charts, (height, width))
    known = latents.float().cpu().movedim(1, -1).flatten(0, 2)
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.float32)], dim=1)
    matrix = torch.linalg.lstsq(known, colours.movedim(1, -1).flatten(0, 2)).solution.to(parameter.device)

    def estimate(latents: torch.Tensor) -> torch.Tensor:
        rgb = torch.einsum("nchw,cr->nrhw", latents.float(), matrix[:-1])
        return rgb + matrix[-1].view(1, 3, 1, 1)

    return estimate
