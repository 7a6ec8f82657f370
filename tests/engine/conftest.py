"""Tiny models and a picture, written once per session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.tiny import SIDE, write_tiny_model
from tests.engine.tiny_transformers import write_tiny_flux, write_tiny_z_image
from tests.engine.tiny_xl import write_tiny_xl


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AutoencoderKL, epsilon, an outdated scheduler configuration: what many SD 1.x checkpoints look like."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_v_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AutoencoderTiny, pooled text in the time embedding, v-prediction, zero terminal SNR, trailing spacing."""
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny-v"),
        tiny_vae=True,
        addition_embed_type="text",
        scheduler={
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": True,
            "steps_offset": 1,
        },
        seed=1,
    )


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_xl(tmp_path_factory.mktemp("tiny-xl"))


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLUX.1 [dev]."""
    return write_tiny_flux(tmp_path_factory.mktemp("tiny-flux"))


@pytest.fixture(scope="session")
def tiny_z_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_z_image(tmp_path_factory.mktemp("tiny-z-image"))


@pytest.fixture(scope="session")
def tiny_models(tiny_model: Path, tiny_xl: Path, tiny_flux: Path, tiny_z_image: Path) -> dict[str, Path]:
    """One of each family; to be read, not to be changed."""
    return {"sd": tiny_model, "sdxl": tiny_xl, "flux": tiny_flux, "z-image": tiny_z_image}


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, of the side that tiny models draw."""
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
