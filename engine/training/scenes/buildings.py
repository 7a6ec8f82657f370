"""What people live in and look out for."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import CREAM, GLOW, INK, SLATE, WOOD
from engine.training.scenes.pen import Pen, arc

Pair = tuple[float, float]


def house(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.37, 0.42)
    x = rng.uniform(-0.03, 0.03)
    pen.box(0.16, 0.62, 0.27, 0.98, t.deep)
    pen.box(-w, 0, w, 0.55, t.main)
    pen.shape([(-w - 0.1, 0.52), (w + 0.1, 0.52), (x, 0.98)], SLATE)
    pen.shape([(-0.09 + x, 0), (0.09 + x, 0), (0.09 + x, 0.27), (x, 0.32), (-0.09 + x, 0.27)], WOOD)
    for side in (-1, 1):
        pen.box(side * 0.25 - 0.08, 0.2, side * 0.25 + 0.08, 0.39, GLOW)
        pen.stroke([(side * 0.25, 0.2), (side * 0.25, 0.39)], 0.018, t.deep)
    pen.ellipse(x, 0.68, 0.07, 0.07, GLOW)


def castle(pen: Pen, rng: np.random.Generator) -> None:
    t, h = pen.tones, rng.uniform(0.56, 0.64)
    pen.box(-0.15, 0.3, 0.15, h + 0.06, t.dark)
    pen.shape([(-0.2, h + 0.05), (0.2, h + 0.05), (0, h + 0.37)], SLATE)
    for side in (-1, 1):
        pen.box(side * 0.36 - 0.12, 0, side * 0.36 + 0.12, h, t.main)
        pen.shape(
            [(side * 0.36 - 0.17, h - 0.01), (side * 0.36 + 0.17, h - 0.01), (side * 0.36, h + 0.28)], SLATE
        )
        pen.box(side * 0.36 - 0.035, h - 0.22, side * 0.36 + 0.035, h - 0.08, GLOW)
    teeth = [(-0.25, 0.0), (-0.25, 0.44)]
    for i in range(4):
        x = -0.25 + i * 0.143
        teeth += [(x, 0.44), (x + 0.072, 0.44), (x + 0.072, 0.37), (x + 0.143, 0.37)]
    pen.shape([*teeth[:-1], (0.25, 0.44), (0.25, 0)], t.main)
    pen.shape([(-0.1, 0), *reversed(arc(0, 0.16, 0.1, 0.12, 0, 180, 10)), (0.1, 0)], INK)


def lighthouse(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.2, 0.23)
    top = 0.135
    pen.shape([(-w, 0), (w, 0), (top, 0.68), (-top, 0.68)], t.main)
    band = t.dark if t.main[2] > 220 and t.main[1] > 220 else CREAM
    for low in (0.2, 0.46):
        a, b = w - (w - top) * low / 0.68, w - (w - top) * (low + 0.09) / 0.68
        pen.shape([(-a, low), (a, low), (b, low + 0.09), (-b, low + 0.09)], band, outlined=False)
    pen.shape([(-0.05, 0), (0.05, 0), (0.05, 0.11), (-0.05, 0.11)], INK)
    pen.box(-0.2, 0.67, 0.2, 0.72, SLATE)
    pen.box(-0.11, 0.72, 0.11, 0.86, GLOW)
    pen.stroke([(0, 0.72), (0, 0.86)], 0.022, SLATE)
    pen.shape([(-0.16, 0.85), (0.16, 0.85), (0.0, 1.0)], t.dark)


def windmill(pen: Pen, rng: np.random.Generator) -> None:
    """A tapering tower with a cap and four broad sails."""
    t, turn = pen.tones, math.radians(rng.uniform(30, 58))
    pen.shape([(-0.27, 0), (0.27, 0), (0.16, 0.58), (-0.16, 0.58)], t.main)
    pen.blob([(-0.2, 0.56), (0.2, 0.56), (0.14, 0.74), (0, 0.8), (-0.14, 0.74)], t.deep)
    pen.shape([(-0.08, 0), *reversed(arc(0, 0.16, 0.08, 0.08, 0, 180, 8)), (0.08, 0)], WOOD)
    pen.ellipse(0, 0.4, 0.06, 0.07, GLOW)
    for i in range(4):
        a = turn + math.pi / 2 * i
        along, across = (math.cos(a), math.sin(a)), (-math.sin(a), math.cos(a))

        def at(u: float, v: float, along: Pair = along, across: Pair = across) -> Pair:
            return (u * along[0] + v * across[0], 0.63 + u * along[1] + v * across[1])

        pen.shape([at(0.12, 0.0), at(0.46, 0.0), at(0.46, 0.16), at(0.12, 0.12)], CREAM)
        pen.stroke([at(0.0, 0.0), at(0.48, 0.0)], 0.035, WOOD)
    pen.ellipse(0, 0.63, 0.06, 0.06, SLATE)


def tent(pen: Pen, rng: np.random.Generator) -> None:
    """A ridge tent seen from its open end, with a pennant."""
    t, w = pen.tones, rng.uniform(0.68, 0.76)
    pen.stroke([(0, 0.9), (0, 1.12)], 0.03, WOOD)
    pen.shape([(0.01, 1.1), (0.24, 1.04), (0.01, 0.98)], t.deep)
    pen.shape([(-w, 0), (w, 0), (0, 0.95)], t.main)
    pen.shape([(-w, 0), (-w * 0.5, 0), (0, 0.95)], t.light)
    pen.shape([(-0.26, 0), (0.26, 0), (0, 0.66)], INK)
    pen.shape([(-0.26, 0), (-0.4, 0), (-0.02, 0.66)], t.dark)
    pen.shape([(0.26, 0), (0.4, 0), (0.02, 0.66)], t.dark)
    pen.stroke([(w * 0.5, 0.02), (0.01, 0.94)], 0.04, t.dark)
