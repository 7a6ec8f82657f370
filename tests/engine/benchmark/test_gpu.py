"""What is measured on a GPU, run on the CPU with the same architectures made small."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine import Engine, EngineConfig, GenerateRequest, ModelInfo, RequestOutput, Update
from engine.benchmark import gpu
from engine.benchmark.architectures import STABLE_DIFFUSION_15, STABLE_DIFFUSION_XL, Architecture
from engine.benchmark.mix import draw_singles
from engine.benchmark.served import serve
from engine.launch import launch_engine
from tests.engine.tiny import write_tiny_model

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


class _Counting:
    """An engine that counts how many requests are under way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = self.most = 0

    def models(self) -> Sequence[ModelInfo]:
        return self._engine.models()

    async def submit(self, request: GenerateRequest) -> AsyncIterator[Update | RequestOutput]:
        self.now += 1
        self.most = max(self.most, self.now)
        async for update in self._engine.submit(request):
            if isinstance(update, RequestOutput):
                self.now -= 1
            yield update


async def test_only_so_many_are_asked_for_at_once(tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path / "model"))
    async with launch_engine(EngineConfig(models=(model,))) as engine:
        counting = _Counting(engine)
        outcomes = await serve(counting, draw_singles(7), tmp_path / "unread.png", at_once=3)
    assert len(outcomes) == 7
    assert counting.most == 3
