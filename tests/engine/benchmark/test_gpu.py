"""What is measured on a GPU, run on the CPU with the same architectures made small."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine import EngineConfig
from engine.benchmark import gpu
from engine.benchmark.architectures import STABLE_DIFFUSION_15, STABLE_DIFFUSION_XL, Architecture

_ENCODER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def smaller(architecture: Architecture) -> Architecture:
    """The same blocks, a few channels wide."""
    blocks = len(architecture.unet["block_out_channels"])
    xl = len(architecture.text_encoders) == 2
    unet = dict(architecture.unet) | {
        "sample_size": 8,
        "block_out_channels": (4, 8, 8, 8)[:blocks],
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "cross_attention_dim": 32 if xl else 16,
        "layers_per_block": 1,
    }
    if xl:
        unet |= {
            "projection_class_embeddings_input_dim": 6 * 8 + 16,
            "addition_time_embed_dim": 8,
            "transformer_layers_per_block": (1, 1, 1),
        }
    vae = dict(architecture.vae) | {
        "sample_size": 64,
        "block_out_channels": (4,) * 4,
        "norm_num_groups": 4,
        "layers_per_block": 1,
    }
    encoders = tuple(_ENCODER | {"projection_dim": 16} for _ in architecture.text_encoders)
    return replace(architecture, unet=unet, vae=vae, text_encoders=encoders)


@pytest.mark.parametrize("architecture", [STABLE_DIFFUSION_15, STABLE_DIFFUSION_XL], ids=lambda a: a.title)
async def test_every_cell_is_measured(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling even these takes minutes; test_compiled.py has the real thing on something smaller.
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    config = EngineConfig(device="cpu", dtype="float32")
    [report] = await gpu.measure_architectures(config, [smaller(architecture)], pictures=(1, 2), jobs=2)
    assert report.side == 64
    assert set(report.rows_per_second) == {2, 4}
    assert set(report.images_per_second) == {
        gpu.JOB_BY_JOB,
        gpu.ENGINE,
        gpu.COMPILED,
        gpu.COMPILED_INTERVAL,
    }
    for figures in (report.rows_per_second, report.images_per_second):
        assert all(math.isfinite(value) and value > 0 for value in figures.values())
