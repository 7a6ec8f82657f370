"""Subjects that people build."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import CREAM, GLASS, GLOW, INK, SLATE, WOOD
from engine.training.scenes.pen import Pen, arc


def sailboat(pen: Pen, rng: np.random.Generator) -> None:
    t, lean = pen.tones, rng.uniform(-0.02, 0.04)
    pen.stroke([(0, 0.16), (0, 1.0)], 0.03, WOOD, outlined=True)
    pen.shape(
        [(0.03, 0.97), (0.2 + lean, 0.66), (0.34 + lean, 0.42), (0.42 + lean, 0.25), (0.03, 0.25)], t.main
    )
    pen.shape([(-0.03, 0.86), (-0.15, 0.62), (-0.26, 0.42), (-0.38, 0.25), (-0.03, 0.25)], t.light)
    pen.blob([(-0.5, 0.21), (0.0, 0.18), (0.5, 0.22), (0.37, 0.03), (0.0, -0.02), (-0.36, 0.03)], t.dark)
    pen.stroke([(-0.42, 0.15), (0, 0.125), (0.43, 0.155)], 0.03, CREAM)


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


def umbrella(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.5, 0.55)
    pen.stroke([(0, 0.5), (0, 0.1), *arc(0.075, 0.1, 0.075, 0.09, 180, 360, 10)], 0.04, WOOD, outlined=True)
    pen.stroke([(0, 0.9), (0, 1.0)], 0.035, WOOD, outlined=True)
    low = 0.46
    for i, tone in enumerate((t.main, t.light, t.light, t.main)):
        a, b = -w + i * w / 2, -w + (i + 1) * w / 2
        rim = [(a + (b - a) * k / 8, low + 0.07 * math.sin(math.pi * k / 8)) for k in range(9)]
        left = [
            (a * math.sin(p), low + 0.47 * math.cos(p)) for p in (math.pi / 2 * k / 10 for k in range(10))
        ]
        right = [
            (b * math.sin(p), low + 0.47 * math.cos(p)) for p in (math.pi / 2 * k / 10 for k in range(10))
        ]
        pen.shape([*left, *rim, *reversed(right)], tone)


def teapot(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.44, 0.5)
    pen.stroke(arc(w * 0.84, 0.43, 0.28, 0.24, -80, 95, 16), 0.09, t.dark, outlined=True)
    pen.blob(
        [
            (-w * 0.6, 0.2),
            (-w * 0.95, 0.3),
            (-0.66, 0.56),
            (-0.8, 0.72),
            (-0.64, 0.74),
            (-0.52, 0.62),
            (-w * 0.7, 0.46),
        ],
        t.main,
    )
    pen.blob(
        [
            (-0.3, 0.0),
            (0.3, 0.0),
            (w * 0.98, 0.26),
            (w * 0.92, 0.54),
            (0.26, 0.76),
            (-0.26, 0.76),
            (-w * 0.92, 0.54),
            (-w * 0.98, 0.26),
        ],
        t.main,
    )
    pen.blob([(-0.29, 0.73), (0, 0.7), (0.29, 0.73), (0.16, 0.88), (-0.16, 0.88)], t.dark)
    pen.ellipse(0, 0.93, 0.075, 0.075, t.light)
    pen.blob([(-w * 0.72, 0.36), (-0.2, 0.5), (-0.2, 0.6), (-w * 0.62, 0.52)], t.light, outlined=False)
    pen.stroke([(-w * 0.9, 0.3), (0, 0.23), (w * 0.9, 0.3)], 0.045, t.light)
