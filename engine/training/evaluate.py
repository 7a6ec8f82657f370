"""Gate (c) and what a probe at its ceiling no longer sees: sharpness, diversity, time. Needs the shipped weights alone."""

from __future__ import annotations

import itertools
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.training import gates
from engine.training.compute import Compute
from engine.training.pipeline import generate, load, use_sampler
from engine.training.probe import Probe, accuracy, predict
from engine.training.scenes.captions import full_caption
from engine.training.scenes.render import render
from engine.training.scenes.spec import ATTRIBUTES, Scene, draw_scenes
from engine.training.sheets import save_sheet

logger = logging.getLogger(__name__)

SCENES_SEED, CAPTION_SEED, REAL_SEED = 501, 502, 503
DIVERSITY_SCENES, GRID = 16, 4
BUCKETS = ((160, 96), (96, 160))

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How pictures are made; the defaults of the model's fourfold.json unless a caller measures another choice."""

    sampler: str
    num_inference_steps: int
    guidance_scale: float

    @classmethod
    def defaults(cls, model: Path) -> Sampling:
        values = json.loads((model / "fourfold.json").read_text(encoding="utf-8"))["defaults"]
        return cls(values["sampler"], values["num_inference_steps"], values["guidance_scale"])


def evaluate(
    model: Path,
    probe_folder: Path,
    report: Path,
    *,
    compute: Compute,
    count: int,
    sampling: Sampling,
    wide: int = 24,
) -> bool:
    """Measure `model` on `count` held-out captions, first picture each; write the report and a sheet beside it."""
    pipe, probe = load(model, compute), compute.place(Probe.load(probe_folder))
    use_sampler(pipe, sampling.sampler)
    scenes = draw_scenes(count, SCENES_SEED, held_out=True)
    labels = np.array([scene.labels for scene in scenes])
    real = [render(scene, REAL_SEED * 1_000 + i) for i, scene in enumerate(scenes)]
    reference = accuracy(predict(probe, np.stack(real), compute), labels)
    numbers = np.random.default_rng(CAPTION_SEED)
    captions = [full_caption(scene, numbers) for scene in scenes]
    steps, guidance = sampling.num_inference_steps, sampling.guidance_scale
    made = generate(pipe, captions, seeds=range(count), steps=steps, guidance=guidance)
    found = predict(probe, np.stack(made), compute)
    scores = accuracy(found, labels)
    floors = {name: gates.PICTURES_SHARE * value for name, value in reference.items()}
    facts: dict[str, Any] = {
        "captions": count,
        "sampler": sampling.sampler,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "real_scores": reference,
        "missed_by_value": _misses(found, labels),
        "sharpness": {"generated": _sharpness(made), "real": _sharpness(real)},
        "sharpness_by_style": {
            style: {
                "generated": _sharpness(_of(style, scenes, made)),
                "real": _sharpness(_of(style, scenes, real)),
            }
            for style in ATTRIBUTES["style"]
        },
        "diversity": _diversity(pipe, scenes[:DIVERSITY_SCENES], captions, steps, guidance),
        "seconds_per_grid": _seconds_per_grid(pipe, steps, guidance),
    }
    for width, height in BUCKETS if wide else ():
        some = generate(
            pipe, captions[:wide], seeds=range(wide), steps=steps, guidance=guidance, size=(width, height)
        )
        facts[f"scores_{width}x{height}"] = accuracy(predict(probe, np.stack(some), compute), labels[:wide])
    save_sheet(made[:64], 8, report.with_suffix(".png"))
    passed = gates.judge("c: pictures from held-out captions", scores, floors, report, **facts)
    logger.info(
        "all five %.4f; %s", scores["all"], json.dumps({k: facts[k] for k in ("sharpness", "diversity")})
    )
    logger.info("%.2f s per grid of four", facts["seconds_per_grid"])
    return passed


def _of(style: str, scenes: list[Scene], pictures: list[Pixels]) -> list[Pixels]:
    return [picture for scene, picture in zip(scenes, pictures, strict=True) if scene.style == style]


def _misses(found: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Per attribute, what was asked for and not seen, and how often."""
    table: dict[str, dict[str, int]] = {}
    for column, (name, values) in enumerate(ATTRIBUTES.items()):
        wrong = found[:, column] != labels[:, column]
        counts: dict[str, int] = {}
        for asked, seen in zip(labels[wrong, column], found[wrong, column], strict=True):
            key = f"{values[asked]} seen as {values[seen]}"
            counts[key] = counts.get(key, 0) + 1
        table[name] = counts
    return table


def _sharpness(pictures: list[Pixels]) -> float:
    """Mean variance of the Laplacian of brightness, 0 to 255 scale: higher is crisper."""
    values = []
    for picture in pictures:
        grey = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float32)
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        values.append(float((around - 4 * grey[1:-1, 1:-1]).var()))
    return round(float(np.mean(values)), 1)


def _diversity(
    pipe: Any, scenes: list[Scene], captions: list[str], steps: int, guidance: float
) -> dict[str, float]:
    """Mean RMS difference (0 to 255) between the four pictures of a grid, generated and real."""
    made, real = [], []
    for i, scene in enumerate(scenes):
        seeds = [90_000 + GRID * i + k for k in range(GRID)]
        made.append(
            _spread(generate(pipe, [captions[i]] * GRID, seeds=seeds, steps=steps, guidance=guidance))
        )
        real.append(_spread([render(scene, seed) for seed in seeds]))
    return {"generated": round(float(np.mean(made)), 1), "real": round(float(np.mean(real)), 1)}


def _spread(pictures: list[Pixels]) -> float:
    pairs = itertools.combinations([picture.astype(np.float32) for picture in pictures], 2)
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs]))


def _seconds_per_grid(pipe: Any, steps: int, guidance: float) -> float:
    prompts = ["a red sailboat on a calm sea at sunset, watercolor"] * GRID
    generate(pipe, prompts, seeds=range(GRID), steps=2, guidance=guidance)
    begun = time.perf_counter()
    generate(pipe, prompts, seeds=range(GRID), steps=steps, guidance=guidance)
    return round(time.perf_counter() - begun, 2)
