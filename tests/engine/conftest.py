"""Tiny models, written once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.tiny import write_tiny_model


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
