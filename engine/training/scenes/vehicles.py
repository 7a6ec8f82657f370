"""What carries people over water, land and air."""

from __future__ import annotations

import numpy as np

from engine.training.scenes.palette import CREAM, GLASS, GLOW, INK, SLATE, WOOD
from engine.training.scenes.pen import Pen


def sailboat(pen: Pen, rng: np.random.Generator) -> None:
    t, lean = pen.tones, rng.uniform(-0.02, 0.04)
    pen.stroke([(0, 0.16), (0, 1.0)], 0.03, WOOD, outlined=True)
    pen.shape(
        [(0.03, 0.97), (0.2 + lean, 0.66), (0.34 + lean, 0.42), (0.42 + lean, 0.25), (0.03, 0.25)], t.main
    )
    pen.shape([(-0.03, 0.86), (-0.15, 0.62), (-0.26, 0.42), (-0.38, 0.25), (-0.03, 0.25)], t.light)
    pen.blob([(-0.5, 0.21), (0.0, 0.18), (0.5, 0.22), (0.37, 0.03), (0.0, -0.02), (-0.36, 0.03)], t.dark)
    pen.stroke([(-0.42, 0.15), (0, 0.125), (0.43, 0.155)], 0.03, CREAM)


def car(pen: Pen, rng: np.random.Generator) -> None:
    t, roof = pen.tones, rng.uniform(0.94, 1.02)
    pen.blob(
        [(-0.5, 0.52), (-0.34, roof - 0.04), (0.1, roof), (0.42, roof - 0.06), (0.62, 0.54), (0.1, 0.44)],
        t.main,
    )
    pen.shape([(-0.4, 0.55), (-0.27, roof - 0.12), (0.0, roof - 0.09), (0.0, 0.55)], GLASS)
    pen.shape([(0.08, 0.55), (0.08, roof - 0.09), (0.34, roof - 0.13), (0.48, 0.55)], GLASS)
    pen.blob(
        [
            (-0.94, 0.18),
            (-0.92, 0.44),
            (-0.55, 0.57),
            (0.2, 0.58),
            (0.82, 0.54),
            (0.94, 0.36),
            (0.92, 0.16),
            (0, 0.12),
        ],
        t.main,
    )
    pen.stroke([(-0.86, 0.25), (0.88, 0.24)], 0.05, t.dark)
    pen.ellipse(-0.83, 0.39, 0.07, 0.075, GLOW)
    for x in (-0.52, 0.54):
        pen.ellipse(x, 0.17, 0.21, 0.21, INK)
        pen.ellipse(x, 0.17, 0.095, 0.095, (198, 200, 208), outlined=False)


def rocket(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.18, 0.21)
    reach = rng.uniform(-0.03, 0.03)
    pen.blob([(-0.12, 0.17), (0.12, 0.17), (0.07, 0.05), (0, -0.1 + reach), (-0.07, 0.05)], (255, 146, 30))
    pen.blob([(-0.06, 0.17), (0.06, 0.17), (0, 0.0 + reach)], (255, 234, 120), outlined=False)
    for side in (-1, 1):
        pen.shape(
            [(side * w * 0.8, 0.5), (side * 0.38, 0.24), (side * 0.36, 0.08), (side * w * 0.7, 0.22)], t.deep
        )
    pen.blob(
        [
            (-0.13, 0.16),
            (0.13, 0.16),
            (w, 0.42),
            (w * 0.85, 0.7),
            (0.08, 0.92),
            (0, 1.0),
            (-0.08, 0.92),
            (-w * 0.85, 0.7),
            (-w, 0.42),
        ],
        t.main,
    )
    pen.blob([(-0.12, 0.8), (0, 0.76), (0.12, 0.8), (0.06, 0.93), (0, 1.0), (-0.06, 0.93)], t.dark)
    pen.ellipse(0, 0.59, 0.095, 0.095, CREAM)
    pen.ellipse(0, 0.59, 0.06, 0.06, (96, 176, 226), outlined=False)
    pen.stroke([(0, 0.18), (0, 0.38)], 0.05, t.deep)


def balloon(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.36, 0.4)
    for side in (-1, 1):
        pen.stroke([(side * 0.15, 0.34), (side * 0.08, 0.16)], 0.016, WOOD)
    outer = [
        (-0.1, 0.3),
        (0.1, 0.3),
        (w * 0.8, 0.5),
        (w, 0.68),
        (w * 0.75, 0.9),
        (0, 1.0),
        (-w * 0.75, 0.9),
        (-w, 0.68),
        (-w * 0.8, 0.5),
    ]
    pen.blob(outer, t.main)
    pen.blob([(x * 0.62, y) for x, y in outer], t.light)
    pen.blob([(x * 0.24, y) for x, y in outer], t.main)
    pen.shape([(-0.105, 0.17), (0.105, 0.17), (0.085, 0.0), (-0.085, 0.0)], WOOD)
    pen.box(-0.12, 0.14, 0.12, 0.18, (168, 112, 62))


def train(pen: Pen, rng: np.random.Generator) -> None:
    """A steam engine in profile, heading left, with its puff of steam."""
    t, puff = pen.tones, rng.uniform(-0.04, 0.06)
    for x, y, r in ((-0.42, 1.0, 0.1), (-0.26, 1.1, 0.13), (-0.06 + puff, 1.12, 0.11)):
        pen.ellipse(x, y, r, r * 0.8, (240, 240, 246), outlined=False)
    pen.shape([(-0.62, 0.6), (-0.44, 0.6), (-0.38, 0.9), (-0.68, 0.9)], INK)
    pen.shape([(-0.94, 0.06), (-0.66, 0.06), (-0.66, 0.26)], SLATE)
    pen.blob([(-0.82, 0.28), (-0.86, 0.5), (-0.76, 0.68), (0.2, 0.68), (0.2, 0.28)], t.main)
    pen.ellipse(-0.16, 0.68, 0.12, 0.1, t.dark)
    pen.box(0.14, 0.2, 0.74, 0.9, t.main)
    pen.box(0.06, 0.86, 0.82, 0.98, t.deep)
    pen.box(0.26, 0.54, 0.62, 0.8, GLASS)
    pen.box(-0.8, 0.16, 0.78, 0.28, t.dark)
    for x, r in ((-0.56, 0.16), (-0.16, 0.16), (0.42, 0.23)):
        pen.ellipse(x, r, r, r, INK)
        pen.ellipse(
            x, r, r * 0.5, r * 0.5, (214, 60, 52) if t.main[0] < 170 else (240, 214, 90), outlined=False
        )
    pen.ellipse(-0.83, 0.48, 0.07, 0.08, GLOW)


def bus(pen: Pen, rng: np.random.Generator) -> None:
    """A double-decker in profile."""
    t, w = pen.tones, rng.uniform(0.62, 0.67)
    pen.blob(
        [(-w, 0.1), (-w - 0.01, 0.5), (-w, 0.94), (0, 1.0), (w, 0.94), (w + 0.01, 0.5), (w, 0.1), (0, 0.08)],
        t.main,
    )
    pen.box(-w, 0.1, w, 0.9, t.main, outlined=False)
    for i in range(4):
        x = -w + 0.09 + i * (2 * w - 0.12) / 4
        pen.box(x, 0.66, x + 0.22, 0.86, GLASS)
        if i:
            pen.box(x, 0.3, x + 0.22, 0.5, GLASS)
    pen.box(-w + 0.07, 0.14, -w + 0.27, 0.52, (60, 66, 84))
    pen.stroke([(-w, 0.585), (w, 0.585)], 0.06, t.light)
    pen.ellipse(-w + 0.02, 0.2, 0.05, 0.05, GLOW, outlined=False)
    for x in (-0.22, 0.4):
        pen.ellipse(x, 0.1, 0.14, 0.14, INK)
        pen.ellipse(x, 0.1, 0.065, 0.065, (198, 200, 208), outlined=False)


def airplane(pen: Pen, rng: np.random.Generator) -> None:
    """An airliner flying left and upwards, with swept wings."""
    t, lift = pen.tones, rng.uniform(-0.03, 0.05)
    pen.shape([(0.42, 0.5), (0.78, 0.5), (0.92, 0.96), (0.7, 0.96)], t.dark)
    pen.shape([(-0.04, 0.56), (0.28, 0.56), (0.5, 0.86 + lift), (0.32, 0.86 + lift)], t.dark)
    pen.blob(
        [
            (-0.98, 0.42),
            (-0.8, 0.58),
            (-0.3, 0.64),
            (0.5, 0.6),
            (0.94, 0.52),
            (0.6, 0.36),
            (-0.3, 0.26),
            (-0.8, 0.3),
        ],
        t.main,
    )
    pen.blob([(-0.88, 0.46), (-0.76, 0.58), (-0.6, 0.58), (-0.62, 0.46)], GLASS)
    for i in range(4):
        pen.ellipse(-0.4 + i * 0.24, 0.49, 0.06, 0.06, GLASS, outlined=False)
    pen.shape([(-0.22, 0.4), (0.2, 0.42), (0.56, -0.02 - lift), (0.3, -0.02 - lift)], t.light)
    pen.shape([(0.56, 0.46), (0.82, 0.48), (1.0, 0.28), (0.82, 0.28)], t.light)
    pen.ellipse(0.02, 0.14, 0.13, 0.08, SLATE)
