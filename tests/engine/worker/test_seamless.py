"""With joined edges, what lies at an edge is made as what lies within: a picture that is rolled round stays the same."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine.worker.autoencoder import Autoencoder
from engine.worker.hires import enlarged
from tests.engine.tiny import tiny_vae_kl

LATENTS = 64
ROLLED = 20
"""Latents by which a picture is rolled: its edges come to lie within."""


@pytest.fixture(params=["kl", "tiny"])
def autoencoder(request: pytest.FixtureRequest) -> Autoencoder:
    torch.manual_seed(0)
    vae: Any = tiny_vae_kl()
    if request.param == "tiny":
        vae = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1),
            latent_channels=16,
        )
    return Autoencoder(vae.double().eval(), torch.device("cpu"), torch.float64, heeds_upcast=False)


def errors(ours: torch.Tensor, rolled: torch.Tensor, shift: int) -> tuple[float, float]:
    """Mean difference of two answers in the columns at the edges of the first, and in all others."""
    difference = (torch.roll(ours, shift, -1) - rolled).abs().mean(dim=(0, 1, 2))
    difference = torch.roll(difference, -shift)
    edges = torch.cat([difference[:4], difference[-4:]])
    return float(edges.mean()), float(difference[4:-4].mean())


@pytest.mark.parametrize("saving", [False, True], ids=["whole", "in tiles"])
@torch.inference_mode()
def test_decoding(autoencoder: Autoencoder, *, saving: bool) -> None:
    channels = autoencoder.channels
    latents = torch.randn(1, channels, 8, LATENTS, dtype=torch.float64)
    whole = autoencoder.decode(latents, tiling=True)
    if saving:
        autoencoder.save_memory()
        autoencoder.vae.tile_latent_min_size, autoencoder.vae.tile_sample_min_size = (
            24,
            24 * autoencoder.factor,
        )
    rolled = autoencoder.decode(torch.roll(latents, ROLLED, -1), tiling=True)
    assert rolled.shape == whole.shape
    at_edges, within = errors(autoencoder.decode(latents, tiling=True), rolled, ROLLED * autoencoder.factor)
    assert at_edges <= 1.5 * within + 1e-9
    # What tiles change, they do not change more at the edges.
    at_edges, within = errors(whole, autoencoder.decode(latents, tiling=True), 0)
    assert at_edges <= 1.5 * within + 1e-9


@pytest.mark.parametrize("saving", [False, True], ids=["whole", "in tiles"])
@torch.inference_mode()
def test_encoding(autoencoder: Autoencoder, *, saving: bool) -> None:
    factor = autoencoder.factor
    pixels = torch.rand(1, 3, 8 * factor, LATENTS * factor, dtype=torch.float64) * 2 - 1
    if saving:
        autoencoder.save_memory()
        autoencoder.vae.tile_latent_min_size, autoencoder.vae.tile_sample_min_size = 24, 24 * factor
    generator = torch.Generator().manual_seed(0)

    def encoded(pixels: torch.Tensor, *, tiling: bool) -> torch.Tensor:
        answer = autoencoder.encode(pixels, tiling=tiling)
        return answer.latent_dist.mode() if hasattr(answer, "latent_dist") else answer.latents

    rolled = torch.roll(pixels, ROLLED * factor, -1)
    at_edges, within = errors(encoded(pixels, tiling=True), encoded(rolled, tiling=True), ROLLED)
    assert at_edges <= 1.5 * within + 1e-9
    untiled, _ = errors(encoded(pixels, tiling=False), encoded(rolled, tiling=False), ROLLED)
    assert untiled > 2 * at_edges, "the edges were not joined before, and now are"
    drawn = autoencoder.sample(autoencoder.encode(pixels, tiling=True), generator)
    assert drawn.shape == (1, autoencoder.channels, 8, LATENTS)


def test_enlarging() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    ours = np.asarray(enlarged(pixels, 48, 32, tiling=True)).astype(int)
    rolled = np.asarray(enlarged(np.roll(pixels, 7, axis=1), 48, 32, tiling=True)).astype(int)
    assert np.array_equal(np.roll(ours, 14, axis=1), rolled)
    plain = np.asarray(enlarged(pixels, 48, 32, tiling=False))
    assert np.array_equal(
        plain, np.asarray(Image.fromarray(pixels).resize((48, 32), Image.Resampling.LANCZOS))
    )
    assert np.abs(plain.astype(int) - ours)[8:-8, 8:-8].max() <= 1
