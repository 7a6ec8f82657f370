"""Between pixels and latents."""

from __future__ import annotations

import logging
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from engine.errors import GenerationFailed
from engine.worker.previews import make_estimate, make_rough_estimate
from engine.worker.seamless import edges_joined

log = logging.getLogger(__name__)

_WRAPPED = 16
"""Latents: beyond, hardly anything of the opposite edge is seen any more."""


class Autoencoder:
    """AutoencoderKL or AutoencoderTiny on the device, with what goes with its latents."""

    def __init__(self, vae: Any, device: torch.device, dtype: torch.dtype, *, heeds_upcast: bool) -> None:
        """`device`: where it computes; its weights may lie elsewhere. `dtype`: of latents. `heeds_upcast`: compute in
        float32 where the configuration says that the autoencoder overflows in float16, as SDXL's does; Stable
        Diffusion's own pipelines pay it no heed.
        """
        self.vae = vae
        self.scaling = float(vae.config.scaling_factor)
        self.shift = float(vae.config.get("shift_factor") or 0)
        """Taken from what the encoder answers before it is scaled, and given back before decoding."""
        self.channels = int(vae.config.latent_channels)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        """Pixels per latent on a side."""
        self.device = device
        self.dtype = dtype
        self._upcast = heeds_upcast and bool(vae.config.get("force_upcast", False))
        self._vae_dtype = torch.float32 if self._upcast and dtype is torch.float16 else dtype
        if vae.dtype is not self._vae_dtype:
            vae.to(self._vae_dtype)
        self.estimate = make_estimate(vae, self.scaling)
        self._rough_estimate = make_rough_estimate(vae, self.scaling)
        self._saving_memory = False

    @property
    def nbytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.vae.parameters())

    def encode(self, pixels: torch.Tensor, *, tiling: bool = False) -> Any:
        """The answer to (1, 3, height, width) in −1…1, to be drawn from with `sample`. `tiling`: its edges are joined."""
        pixels = pixels.to(self.device, self.dtype)
        if self._upcast:
            pixels = pixels.float()
        if self._vae_dtype is pixels.dtype:
            return self._encode(pixels, tiling=tiling)
        self.vae.to(torch.float32)
        try:
            return self._encode(pixels, tiling=tiling)
        finally:
            self.vae.to(self._vae_dtype)

    def sample(self, encoded: Any, generator: torch.Generator) -> torch.Tensor:
        """(1, c, h, w): latents out of AutoencoderKL's distribution, or AutoencoderTiny's one answer."""
        drawn = encoded.latent_dist.sample(generator) if hasattr(encoded, "latent_dist") else encoded.latents
        return self.scaling * (drawn.to(self.dtype) - self.shift)

    def decode(self, latents: torch.Tensor, *, tiling: bool) -> torch.Tensor:
        """(n, c, h, w) → (n, 3, height, width) in −1…1. `tiling`: the edges are joined."""
        latents = latents.to(self._vae_dtype) / self.scaling + self.shift
        if tiling and self.vae.use_tiling and max(latents.shape[-2:]) > self.vae.tile_latent_min_size:
            # Every tile that it decodes has edges of its own, which must not be joined.
            margin = min(_WRAPPED, *latents.shape[-2:])
            return _cropped(decode_finite(self.vae, _wrapped(latents, margin)), margin * self.factor)
        with edges_joined(self.vae, joined=tiling):
            return decode_finite(self.vae, latents)

    def decode_pixels(self, latents: torch.Tensor, *, tiling: bool = False) -> list[npt.NDArray[np.uint8]]:
        """(n, c, h, w) → n uint8 RGB (H, W, 3), quantised as diffusers' VaeImageProcessor does."""
        decoded = self.decode(latents, tiling=tiling)
        scaled = (decoded * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        return list((scaled * 255).round().astype("uint8"))

    def _encode(self, pixels: torch.Tensor, *, tiling: bool) -> Any:
        # The encoder pads where it halves the picture, beyond what its convolutions do.
        margin = min(_WRAPPED, *(side // self.factor for side in pixels.shape[-2:])) if tiling else 0
        pixels = _wrapped(pixels, margin * self.factor)
        if isinstance(self.vae, diffusers.AutoencoderTiny):
            # Whole, because in tiles diffusers makes four channels of latents, whatever the autoencoder has.
            return AutoencoderTinyOutput(latents=_cropped(self.vae.encoder(pixels), margin))
        encoded = self.vae.encode(pixels)
        if not margin:
            return encoded
        moments = _cropped(encoded.latent_dist.parameters, margin)
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(moments))

    def preview(self, latents: torch.Tensor, *, vague: bool = False) -> torch.Tensor:
        """(n, c, h, w) → (n, 3, ?, ?) in about −1…1, at little cost; at hardly any where the pictures are `vague`."""
        # The estimate knows the factor between latents and the autoencoder, not the offset.
        estimate = (self._rough_estimate if vague else None) or self.estimate
        return estimate((latents + self.shift * self.scaling).to(self._vae_dtype))

    def save_memory(self) -> bool:
        """Decode one picture at a time, and in tiles, from now on; False when that is already so."""
        if self._saving_memory:
            return False
        self._saving_memory = True
        self.vae.enable_slicing()
        self.vae.enable_tiling()
        return True


def decode_finite(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) as the autoencoder reads them → (n, 3, height, width) in −1…1.

    Pictures that overflow in half precision are decoded once more in float32.

    Raises:
        GenerationFailed: a picture is no number in float32 either.
    """
    decoded: torch.Tensor = vae.decode(latents, return_dict=False)[0]
    fine = torch.isfinite(decoded).flatten(1).all(dim=1).tolist()
    if all(fine):
        return decoded
    if latents.dtype in (torch.float16, torch.bfloat16):
        log.warning("the autoencoder overflowed in %s; decoding once more in float32", latents.dtype)
        bad = [row for row, good in enumerate(fine) if not good]
        vae.to(torch.float32)
        try:
            again = vae.decode(latents[bad].float(), return_dict=False)[0]
        finally:
            vae.to(latents.dtype)
        # What a picture shows is small; only inside the autoencoder do numbers grow.
        decoded[bad] = again.to(decoded.dtype)
        if torch.isfinite(again).all():
            return decoded
    raise GenerationFailed(
        "decode_not_finite",
        "The autoencoder made something that is no number of the picture, in float32 too. Try another autoencoder"
        " (vae), or the model's own; if none helps, the model's weights are damaged.",
    )


def _wrapped(picture: torch.Tensor, margin: int) -> torch.Tensor:
    """(n, c, h, w) with so much of the opposite edge on each side."""
    return torch.nn.functional.pad(picture, (margin,) * 4, mode="circular") if margin else picture


def _cropped(picture: torch.Tensor, margin: int) -> torch.Tensor:
    return picture[..., margin:-margin, margin:-margin] if margin else picture
