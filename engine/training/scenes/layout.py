"""Where the figures of a scene stand, and how large: alone, side by side, or one above the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.training.scenes.palette import tones
from engine.training.scenes.pen import Pen
from engine.training.scenes.spec import Figure, Scene
from engine.training.scenes.stage import Stage
from engine.training.scenes.subjects import KINDS, Kind

# How large figures are beside one that is alone, by how many share the row, and in a column.
ROW_SHARES = {2: 0.72, 3: 0.56}
COLUMN_SHARE = 0.62


@dataclass(frozen=True, slots=True)
class Placed:
    """One figure on the canvas: (x, y) is the middle of its foot and `scale` its height, in canvas pixels."""

    figure: Figure
    kind: Kind
    x: float
    y: float
    scale: float
    tilt: float
    room: float  # how much of the canvas's width is its own

    @property
    def width(self) -> float:
        left, right = extent(self.figure.subject)
        return (left + right) * self.scale


def place(scene: Scene, stage: Stage) -> Iterator[Placed]:
    """The figures in the order in which they are drawn."""
    if len(scene.figures) == 1:
        yield _alone(scene.figures[0], stage)
    elif scene.arrangement == "column":
        yield from _column(scene, stage)
    else:
        yield from _row(scene, stage)


@lru_cache(maxsize=64)
def extent(subject: str) -> tuple[float, float]:
    """How far the subject reaches left and right of its middle, as shares of its height."""
    pen = Pen((192, 96), (96.0, 80.0), 64.0, 0.0, tones("red", "day"), outline=0.0, line=(0, 0, 0))
    KINDS[subject].draw(pen, np.random.default_rng(0))
    box = pen.mask.getbbox()
    assert box is not None
    return (96 - box[0]) / 64, (box[2] - 96) / 64


def _alone(figure: Figure, stage: Stage) -> Placed:
    (w, h), rng, unit = stage.size, stage.rng, stage.unit
    kind, (left, right) = KINDS[figure.subject], extent(figure.subject)
    scale = min(kind.size * unit * rng.uniform(0.92, 1.1), 0.94 * w / (left + right))
    spread = 0.07 + 0.12 * max(0.0, w / h - 1)
    x = w * (0.5 + rng.uniform(-spread, spread))
    # Broad subjects stay inside the picture.
    x = min(max(x, left * scale + 0.02 * w), 0.98 * w - right * scale)
    y = stage.base if kind.stance != "air" else h * rng.uniform(0.42, 0.5) + scale / 2
    return Placed(figure, kind, x, y, scale, _tilt(kind, rng), 0.92 * unit)


def _row(scene: Scene, stage: Stage) -> Iterator[Placed]:
    (w, h), rng = stage.size, stage.rng
    count = len(scene.figures)
    room = w / count
    for i, figure in enumerate(scene.figures):
        kind, (left, right) = KINDS[figure.subject], extent(figure.subject)
        scale = kind.size * stage.unit * ROW_SHARES[count] * rng.uniform(0.93, 1.05)
        scale = min(scale, 0.94 * room / (left + right))
        slack = (room - (left + right) * scale) / 2
        x = room * (i + 0.5) + (left - right) / 2 * scale + rng.uniform(-0.5, 0.5) * slack
        y = stage.base + rng.uniform(-0.015, 0.02) * stage.unit
        if kind.stance == "air":
            y = h * rng.uniform(0.36, 0.52) + scale / 2
        yield Placed(figure, kind, x, y, scale, _tilt(kind, rng), room)


def _column(scene: Scene, stage: Stage) -> Iterator[Placed]:
    (w, h), rng, unit = stage.size, stage.rng, stage.unit
    x = w * (0.5 + rng.uniform(-0.08, 0.08))
    for i, figure in enumerate(scene.figures):
        kind, (left, right) = KINDS[figure.subject], extent(figure.subject)
        tallest = (0.4 if i == 0 else 0.5) * unit
        scale = min(kind.size * unit * COLUMN_SHARE, tallest, 0.94 * w / (left + right))
        scale *= rng.uniform(0.92, 1.0)
        y = stage.base if kind.stance != "air" else h * rng.uniform(0.9, 0.94)
        if i == 0:
            y = h * rng.uniform(0.05, 0.08) + scale
        shift = (left - right) / 2 * scale + rng.uniform(-0.05, 0.05) * w
        yield Placed(figure, kind, x + shift, y, scale, _tilt(kind, rng), 0.7 * unit)


def _tilt(kind: Kind, rng: np.random.Generator) -> float:
    reach = 0.05 if kind.stance == "ground" else 0.12
    return float(rng.uniform(-reach, reach))
