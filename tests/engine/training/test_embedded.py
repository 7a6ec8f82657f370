"""The weights that ship: they load as any Stable Diffusion does, are small, and the probe reads real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline

from engine.training.compute import Compute
from engine.training.pipeline import SAMPLERS
from engine.training.probe import Probe, accuracy, predict
from engine.training.profile import CPU
from engine.training.scenes.captions import vocabulary
from engine.training.scenes.render import render
from engine.training.scenes.spec import draw_scenes

EMBEDDED = Path(__file__).parents[3] / "engine" / "embedded"
MODEL = EMBEDDED / "fourfold-mini"


@pytest.fixture(scope="module")
def pipe():
    pipe = StableDiffusionPipeline.from_pretrained(str(MODEL), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_weights_are_small():
    assert size_of(MODEL) <= 32_000_000
    assert size_of(EMBEDDED / "probe") <= 2_000_000


def test_facts_fit_the_model():
    facts = json.loads((MODEL / "fourfold.json").read_text(encoding="utf-8"))
    assert facts["defaults"]["sampler"] in SAMPLERS
    assert facts["vocabulary"] == list(vocabulary())
    assert facts["native_size"] == 128


def test_stock_pipeline_makes_a_picture(pipe):
    output = pipe(
        "a red sailboat on a calm sea at sunset, watercolor", num_inference_steps=2, output_type="np"
    )
    assert output.images.shape == (1, 128, 128, 3)


def test_probe_reads_real_renders():
    scenes = draw_scenes(80, 9, held_out=True)
    pixels = np.stack([render(scene, 70_000 + i) for i, scene in enumerate(scenes)])
    scores = accuracy(
        predict(Probe.load(EMBEDDED / "probe"), pixels, Compute.of(CPU)),
        np.array([scene.labels for scene in scenes]),
    )
    assert min(scores.values()) >= 0.95, scores
