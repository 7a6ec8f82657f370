"""Parts that do not belong together are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import transformers

from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_transformers import (
    autoencoder,
    write_tiny_aura_flow,
    write_tiny_chroma,
    write_tiny_flux,
    write_tiny_pixart,
    write_tiny_stable_diffusion_3,
    write_tiny_z_image,
)
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.load_errors.damage import try_to_load


def other_vae(model: Path) -> None:
    autoencoder(8).save_pretrained(model / "vae")


def other_text_encoder(model: Path) -> None:
    config = transformers.CLIPTextConfig.from_pretrained(model / "text_encoder")
    config.hidden_size = 24
    transformers.CLIPTextModel(config).save_pretrained(model / "text_encoder")


def other_t5(model: Path, part: str = "text_encoder") -> None:
    config = transformers.T5Config.from_pretrained(model / part)
    config.d_model = 48
    transformers.T5EncoderModel(config).save_pretrained(model / part)


def other_clip(model: Path) -> None:
    config = transformers.CLIPTextConfig.from_pretrained(model / "text_encoder_2")
    config.projection_dim = 48
    transformers.CLIPTextModelWithProjection(config).save_pretrained(model / "text_encoder_2")


@pytest.mark.parametrize(
    ("write", "exchange", "words"),
    [
        (write_tiny_model, other_vae, ("vae", "unet", "8", "4")),
        (write_tiny_model, other_text_encoder, ("text_encoder", "unet", "24", "16")),
        (write_tiny_xl, other_vae, ("vae", "unet", "8", "4")),
        (write_tiny_xl, other_text_encoder, ("text encoders", "unet")),
        (write_tiny_flux, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_flux, other_text_encoder, ("text_encoder", "transformer", "24", "16")),
        (
            write_tiny_flux,
            partial(other_t5, part="text_encoder_2"),
            ("text_encoder_2", "transformer", "48", "32"),
        ),
        (write_tiny_z_image, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_pixart, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_pixart, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_chroma, other_vae, ("vae", "transformer", "8", "4")),
        (write_tiny_chroma, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_aura_flow, other_t5, ("text_encoder", "transformer", "48", "32")),
        (write_tiny_stable_diffusion_3, other_clip, ("pair of text encoders", "80", "64")),
        (write_tiny_stable_diffusion_3, partial(other_t5, part="text_encoder_3"), ("text_encoder_3", "48")),
    ],
)
def test_parts_that_do_not_belong_together_are_named(
    tmp_path: Path,
    write: Callable[[Path], Path],
    exchange: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    folder = write(tmp_path / "model")
    exchange(folder)
    error = try_to_load(folder)
    assert error.code == "model_unreadable"
    assert "do not belong together" in str(error)
    assert all(word in str(error) for word in words)
