"""Thumbnails show the picture, whichever way they are made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.worker.previews import MAX_SIDE, _linear_fit, make_estimate, make_rough_estimate, thumbnails
from tests.engine.tiny import tiny_vae_taesd


class LinearVae(torch.nn.Module):
    """An autoencoder whose latents are a fixed mixture of the colours of 8 × 8 patches: what the fit assumes of real ones."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.mixture = torch.nn.Parameter(torch.randn(4, 3, generator=generator))

    def encode(self, pixels: torch.Tensor) -> object:
        colours = torch.nn.functional.avg_pool2d(pixels, 8)
        latents = torch.einsum("nchw,lc->nlhw", colours, self.mixture) + 0.3
        return type("Encoded", (), {"latents": latents})()


def test_the_linear_fit_recovers_colours() -> None:
    vae = LinearVae()
    estimate = _linear_fit(vae, 0.5)
    colours = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    latents = vae.encode(colours).latents.detach() * 0.5  # type: ignore[attr-defined]
    assert torch.allclose(estimate(latents), torch.nn.functional.avg_pool2d(colours, 8), atol=1e-3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_linear_fit_of_an_encoder_that_overflows_is_blank_and_no_error(value: float) -> None:
    """A model whose pictures can be made must not fail to load for the sake of its previews."""
    vae = LinearVae()
    torch.nn.init.constant_(vae.mixture, value)
    shown = _linear_fit(vae, 0.5)(torch.ones(1, 4, 8, 8))
    assert torch.isfinite(shown).all()
    assert shown.std() < 1e-6


def test_small_decoders_decode() -> None:
    vae = tiny_vae_taesd().eval()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rgb = make_estimate(vae, 2.0)(latents)
        assert torch.equal(rgb, vae.decode(latents / 2.0).sample)


def test_what_is_vague_is_shown_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large as a decoded picture, and of the same colours."""
    vae = tiny_vae_taesd().eval()
    rough = make_rough_estimate(vae, 2.0)
    assert rough is not None
    decoded: list[bool] = []
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        size = vae.decode(latents).sample.shape
        monkeypatch.setattr(vae, "decode", lambda *_: decoded.append(True))
        fit = _linear_fit(vae, 2.0)(latents)
        upscaled = torch.nn.functional.interpolate(fit, size[-2:], mode="bicubic")
        assert torch.allclose(rough(latents), upscaled, atol=0.01)
    assert not decoded


def test_large_decoders_have_no_other_way() -> None:
    vae = LinearVae()
    vae.decoder = torch.nn.Linear(3000, 3000)  # type: ignore[assignment]
    assert make_rough_estimate(vae, 0.5) is None


def test_thumbnails_are_small_and_keep_their_shape() -> None:
    rgb = torch.cat([torch.full((1, 3, 400, 600), -1.0), torch.full((1, 3, 400, 600), 2.0)])
    black, white = thumbnails(rgb)
    assert black.shape == white.shape == (85, MAX_SIDE, 3)
    assert black.dtype == np.uint8
    assert (black.max(), white.min()) == (0, 255)
    assert thumbnails(torch.zeros(1, 3, 24, 40))[0].shape == (24, 40, 3)
