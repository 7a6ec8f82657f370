"""Training goes on after a break exactly as it would have gone on without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.__main__ import _parser
from engine.training.autoencoder import build_autoencoder
from engine.training.charts import draw_curves
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.compute import Compute
from engine.training.denoiser import DenoiserStage, LatentSet
from engine.training.loop import train, warm_cosine
from engine.training.tokenizer import build_tokenizer
from tests.engine.training.toys import TOY, toy_scenes

HOST = torch.device("cpu")


@pytest.fixture(scope="module")
def toy_stage(tmp_path_factory):
    tokenizer = build_tokenizer(tmp_path_factory.mktemp("tokenizer"), TOY.text_length)
    numbers = torch.Generator().manual_seed(0)
    scenes = toy_scenes(8)
    sets = [
        LatentSet(
            scenes, torch.randn(8, 4, h, w, generator=numbers).half(), np.full((8, h, w), 128, dtype=np.uint8)
        )
        for h, w in ((8, 8), (8, 12))
    ]

    def build():
        torch.manual_seed(1)
        return DenoiserStage(TOY, Compute.of(TOY), sets, tokenizer, build_autoencoder(TOY))

    return build


def test_a_resumed_run_equals_an_uninterrupted_one(toy_stage, tmp_path):
    whole = toy_stage()
    assert train(whole, tmp_path / "whole", steps=6, seed=3)
    first = toy_stage()
    assert not train(first, tmp_path / "broken", steps=6, seed=3, minutes=0)
    assert load_checkpoint(tmp_path / "broken" / "checkpoint.pt", HOST)["step"] == 1
    second = toy_stage()
    assert train(second, tmp_path / "broken", steps=6, seed=3)
    for a, b in zip(whole.average.values, second.average.values, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.unet.parameters(), second.unet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_that_was_never_written_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt", HOST) is None


def test_a_checkpoint_replaces_the_one_before(tmp_path):
    file = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(file, {"step": step})
    assert load_checkpoint(file, HOST) == {"step": 2}
    assert list(tmp_path.iterdir()) == [file]


def test_schedule_warms_holds_and_falls():
    rates = [warm_cosine(i, i / 100, warm=10, hold=0.5, floor=0.1) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[20] == 1.0
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_curves_are_drawn(tmp_path):
    table = tmp_path / "loss.csv"
    table.write_text("step,loss\n1,3\n2,2\n3,1\n", encoding="utf-8")
    draw_curves(table, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_runs_live_in_the_bots_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_HOME", str(tmp_path))
    assert _parser().parse_args(["probe"]).home == tmp_path / "training"
