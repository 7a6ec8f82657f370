"""What a model draws of held-out captions, and what a probe at its ceiling no longer sees. Needs the shipped weights alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import CLIPModel

from engine.training import gates
from engine.training.compute import Compute
from engine.training.contrastive import embed_pictures
from engine.training.drawing import Artist, Pixels, Sampling, artist, shrunk
from engine.training.measures import frechet_distance, sharpness, spread
from engine.training.probe import Probe, predict, read_rightly, scores
from engine.training.scenes.captions import full_caption
from engine.training.scenes.labels import HEADS, labels_of
from engine.training.scenes.render import render
from engine.training.scenes.spec import NOTHING, STYLES, Scene, Side, draw_scenes
from engine.training.scenes.subjects import FLYING
from engine.training.sheets import save_sheet

logger = logging.getLogger(__name__)

CAPTION_SEED, REAL_SEED, OTHER_SEED = 502, 503, 504
DIVERSITY_SCENES, GRID = 16, 4
FAILURES = 16
"""How many pictures that went wrong are kept to look at."""
SIDE = 128
"""Pixels of what the probe and CLIP look at."""
PROMPT = "a red sailboat on a calm sea at sunset, watercolor"


@dataclass(frozen=True, slots=True)
class Group:
    """Captions of one kind: how many figures, and which side; `share` of the captions that are asked for."""

    name: str
    side: Side
    shares: tuple[float, float, float]
    share: float
    seed: int


GROUPS = (
    Group("one", Side.HELD_OUT, (1, 0, 0), 1.0, 501),
    Group("two", Side.HELD_OUT, (0, 1, 0), 0.5, 511),
    Group("three", Side.HELD_OUT, (0, 0, 1), 0.25, 521),
    Group("unseen", Side.UNSEEN_PAIR, (1, 0, 0), 0.25, 531),
)


@dataclass(frozen=True, slots=True)
class Judges:
    """What measures: neither was trained on anything that is measured, and the probe on nothing that trained a model."""

    probe: Probe
    clip: CLIPModel
    compute: Compute

    @classmethod
    def load(cls, probe: Path, clip: Path, compute: Compute) -> Judges:
        model = CLIPModel.from_pretrained(str(clip), local_files_only=True, dtype=torch.float32).eval()
        return cls(compute.place(Probe.load(probe)), compute.place(model), compute)

    def read(self, pictures: Sequence[Pixels]) -> npt.NDArray[np.int64]:
        """(n, heads) class indices."""
        return predict(self.probe, np.stack(pictures), self.compute)

    def features(self, pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """(n, width), each of length 1."""
        found = functional.normalize(embed_pictures(self.clip, np.stack(pictures), self.compute), dim=1)
        return np.asarray(found.numpy())


def evaluate(
    model: str, judges: Judges, report: Path, *, captions: int, sampling: Sampling, wide: int = 24
) -> bool:
    """Measure `model` on held-out captions, one picture each; write the report and sheets beside it. True where the gate
    is passed.
    """
    return asyncio.run(_evaluate(model, judges, report, captions, sampling, wide))


async def _evaluate(
    model: str, judges: Judges, report: Path, captions: int, sampling: Sampling, wide: int
) -> bool:
    async with artist(model, sampling) as painter:
        params = painter.params
        facts: dict[str, Any] = {
            "model": painter.info.name,
            "captions": captions,
            "sampler": params.sampler,
            "num_inference_steps": params.num_inference_steps,
            "guidance_scale": params.guidance_scale,
            "few_steps": sampling.few_steps,
        }
        groups = {
            group.name: await _group(painter, judges, group, captions, report, facts) for group in GROUPS
        }
        facts["diversity"] = await _diversity(painter, min(captions, DIVERSITY_SCENES))
        one_size = painter.info.min_side == painter.info.max_side
        for size in ((160, 96), (96, 160)) if wide and not one_size else ():
            facts[f"scores_{size[0]}x{size[1]}"] = await _of_size(painter, judges, size, wide)
        facts["seconds_per_grid"] = round(await painter.seconds_per_grid(PROMPT), 2)
    single = groups["one"]
    short_way = sampling.few_steps or painter.info.family != "stable-diffusion"
    share = gates.SHORT_WAY_SHARE if short_way else gates.PICTURES_SHARE
    floors = {name: share * single["real"][name] for name in gates.ATTRIBUTES}
    measured = dict(single["scores"])
    for name, floor in gates.FIGURES_FLOORS.items() if not short_way else ():
        measured[f"figures_{name}"] = groups[name]["scores"]["figures"]
        floors[f"figures_{name}"] = floor
    facts["groups"] = groups
    passed = gates.judge("c: pictures from held-out captions", measured, floors, report, **facts)
    logger.info("%.2f s per grid of four", facts["seconds_per_grid"])
    return passed


async def _group(
    painter: Artist, judges: Judges, group: Group, captions: int, report: Path, facts: dict[str, Any]
) -> dict[str, Any]:
    scenes = draw_scenes(
        max(4, round(captions * group.share)), group.seed, group.side, shares=group.shares, flying=FLYING
    )
    wanted = labels_of(scenes)
    real = [render(scene, REAL_SEED * 1_000 + i) for i, scene in enumerate(scenes)]
    said = _said(scenes)
    made = await _pictures(painter, said)
    read = judges.read(made)
    seen = {"scores": scores(read, wanted), "real": scores(judges.read(real), wanted)}
    save_sheet(made[:64], 8, report.with_name(f"{report.stem}-{group.name}.png"))
    logger.info(
        "%s: figures %.4f, everything %.4f", group.name, seen["scores"]["figures"], seen["scores"]["all"]
    )
    if group.name == "one":
        others = [render(scene, OTHER_SEED * 1_000 + i) for i, scene in enumerate(scenes)]
        features = judges.features(real)
        facts["frechet_distance"] = {
            "generated": round(frechet_distance(features, judges.features(made)), 4),
            "other_real": round(frechet_distance(features, judges.features(others)), 4),
        }
        facts["sharpness"] = {"generated": round(sharpness(made), 1), "real": round(sharpness(real), 1)}
        facts["sharpness_by_style"] = {
            style: {
                "generated": round(sharpness(_of(style, scenes, made)), 1),
                "real": round(sharpness(_of(style, scenes, real)), 1),
            }
            for style in STYLES
        }
    missed = np.flatnonzero(~read_rightly(read, wanted)["all"])[:FAILURES]
    if len(missed):
        save_sheet(
            [made[row] for row in missed], 8, report.with_name(f"{report.stem}-{group.name}-missed.png")
        )
    return {
        **seen,
        "pictures": len(scenes),
        "missed": _misses(read, wanted),
        "missed_captions": [said[row] for row in missed],
    }


def _said(scenes: Sequence[Scene]) -> list[str]:
    numbers = np.random.default_rng(CAPTION_SEED)
    return [full_caption(scene, numbers) for scene in scenes]


async def _pictures(
    painter: Artist, said: Sequence[str], size: tuple[int, int] | None = None
) -> list[Pixels]:
    made = await painter.draw(said, range(len(said)), size)
    return [shrunk(picture, min(size or (SIDE, SIDE))) for picture in made]


async def _of_size(painter: Artist, judges: Judges, size: tuple[int, int], count: int) -> dict[str, float]:
    scenes = draw_scenes(count, GROUPS[0].seed, Side.HELD_OUT, shares=GROUPS[0].shares)
    scale = painter.info.native_width // SIDE
    asked = (size[0] * scale, size[1] * scale)
    made = [shrunk(picture, min(size)) for picture in await _pictures(painter, _said(scenes), asked)]
    return scores(judges.read(made), labels_of(scenes))


async def _diversity(painter: Artist, count: int) -> dict[str, float]:
    """Mean RMS difference (0 to 255) between the four pictures of a grid, generated and real."""
    scenes = draw_scenes(count, GROUPS[0].seed, Side.HELD_OUT, shares=GROUPS[0].shares)
    four = [scene for scene in scenes for _ in range(GRID)]
    numbers = np.random.default_rng(CAPTION_SEED)
    said = [caption for scene in scenes for caption in [full_caption(scene, numbers)] * GRID]
    made = [shrunk(picture, SIDE) for picture in await painter.draw(said, range(len(said)))]
    real = [render(scene, 90_000 + i) for i, scene in enumerate(four)]
    return {
        name: round(float(np.mean([spread(some[i : i + GRID]) for i in range(0, len(some), GRID)])), 1)
        for name, some in (("generated", made), ("real", real))
    }


def _of(style: str, scenes: Sequence[Scene], pictures: Sequence[Pixels]) -> list[Pixels]:
    return [picture for scene, picture in zip(scenes, pictures, strict=True) if scene.style == style]


def _misses(read: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Per question, what was asked for and not seen, and how often."""
    table: dict[str, dict[str, int]] = {}
    for column, (name, values) in enumerate(HEADS.items()):
        counts: dict[str, int] = {}
        for asked, seen in zip(wanted[:, column], read[:, column], strict=True):
            if asked != seen and values[asked] != NOTHING:
                key = f"{values[asked]} seen as {values[seen]}"
                counts[key] = counts.get(key, 0) + 1
        if counts:
            table[name] = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return table
