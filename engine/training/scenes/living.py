"""Subjects that grow or move by themselves."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import CREAM, INK, LEAF, RGB, WOOD, mix
from engine.training.scenes.pen import Pen, arc, smooth, smooth_open


def tree(pen: Pen, rng: np.random.Generator) -> None:
    t = pen.tones
    pen.shape([(-0.12, 0), (0.12, 0), (0.06, 0.18), (0.07, 0.5), (-0.07, 0.5), (-0.06, 0.18)], WOOD)
    crown = []
    bumps = int(rng.integers(7, 10))
    for i in range(bumps * 2):
        angle = math.pi * i / bumps
        r = 0.36 * (1.09 if i % 2 else 0.93) + rng.uniform(-0.015, 0.015)
        crown.append((r * 1.18 * math.cos(angle), 0.65 + r * math.sin(angle)))
    pen.blob(crown, t.main)
    pen.blob(
        [(-0.3, 0.42), (0.0, 0.37), (0.3, 0.43), (0.38, 0.62), (0.22, 0.49), (0.0, 0.46), (-0.2, 0.5)],
        t.dark,
        outlined=False,
    )
    pen.blob(
        [(-0.3, 0.7), (-0.24, 0.84), (-0.06, 0.93), (-0.06, 0.84), (-0.16, 0.76)], t.light, outlined=False
    )


def flower(pen: Pen, rng: np.random.Generator) -> None:
    t, bend = pen.tones, rng.uniform(-0.04, 0.04)
    pen.stroke([(0, 0), (bend, 0.25), (0, 0.6)], 0.05, LEAF, outlined=True)
    pen.blob([(0, 0.08), (-0.17, 0.2), (-0.34, 0.38), (-0.26, 0.16), (-0.12, 0.06)], LEAF)
    pen.blob(
        [(0, 0.12), (0.17, 0.24), (0.33, 0.4), (0.27, 0.18), (0.12, 0.08)], mix(LEAF, (255, 255, 255), 0.12)
    )
    count, turn = int(rng.integers(6, 9)), rng.uniform(0, math.pi)
    for layer in (0, 1):
        for i in range(layer, count, 2):
            a = turn + 2 * math.pi * i / count
            x, y = 0.2 * math.cos(a), 0.7 + 0.2 * math.sin(a)
            along, across = 0.145, 0.105
            petal = [
                (
                    x + along * math.cos(p) * math.cos(a) - across * math.sin(p) * math.sin(a),
                    y + along * math.cos(p) * math.sin(a) + across * math.sin(p) * math.cos(a),
                )
                for p in (2 * math.pi * k / 18 for k in range(18))
            ]
            pen.shape(petal, t.main if layer else t.dark)
    heart: RGB = (
        (146, 84, 30) if t.main[0] > 200 and 110 < t.main[1] < 240 and t.main[2] < 80 else (255, 206, 52)
    )
    pen.ellipse(0, 0.7, 0.115, 0.115, heart)


def mushroom(pen: Pen, rng: np.random.Generator) -> None:
    t, w = pen.tones, rng.uniform(0.5, 0.56)
    pen.blob([(-0.17, 0.02), (0.17, 0.02), (0.19, 0.12), (0.12, 0.5), (-0.12, 0.5), (-0.19, 0.12)], CREAM)
    cap = [*arc(0, 0.48, w, 0.46, 0, 180, 24), (-w * 0.9, 0.4), (-0.2, 0.36), (0.2, 0.36), (w * 0.9, 0.4)]
    pen.shape(smooth(cap[::2], 4), t.main)
    white = t.main[0] > 220 and t.main[1] > 220 and t.main[2] > 200
    spot: RGB = (206, 196, 186) if white else (255, 250, 240)
    shift = rng.uniform(-0.04, 0.04)
    for x, y, r in ((-0.3, 0.56, 0.075), (0.02, 0.76, 0.09), (0.3, 0.6, 0.08), (-0.05, 0.52, 0.06)):
        pen.ellipse(x * w * 2 + shift, y, r, r * 0.85, spot, outlined=False)


def cat(pen: Pen, rng: np.random.Generator) -> None:
    t, belly = pen.tones, rng.uniform(0.25, 0.29)
    tail = [(0.2, 0.05), (0.42, 0.06), (0.48, 0.22), (0.4, 0.38), (0.44, 0.5)]
    pen.stroke(smooth_open(tail), 0.1, t.main, outlined=True)
    pen.blob(
        [
            (-belly, 0.0),
            (0, -0.02),
            (belly, 0.0),
            (belly + 0.03, 0.18),
            (0.17, 0.5),
            (-0.17, 0.5),
            (-belly - 0.03, 0.18),
        ],
        t.main,
    )
    for side in (-1, 1):
        pen.shape([(side * 0.27, 0.72), (side * 0.06, 0.86), (side * 0.25, 1.02)], t.main)
        pen.shape([(side * 0.225, 0.8), (side * 0.13, 0.86), (side * 0.22, 0.95)], t.dark, outlined=False)
    pen.ellipse(0, 0.67, 0.29, 0.225, t.main)
    pen.ellipse(0, 0.2, 0.13, 0.16, t.light, outlined=False)
    for side in (-1, 1):
        pen.ellipse(side * 0.12, 0.7, 0.06, 0.07, (236, 232, 120), outlined=False)
        pen.ellipse(side * 0.12, 0.7, 0.026, 0.06, INK, outlined=False)
        pen.ellipse(side * 0.1, 0.03, 0.09, 0.055, t.light)
    pen.shape([(-0.045, 0.615), (0.045, 0.615), (0, 0.57)], (236, 130, 140), outlined=False)


def fish(pen: Pen, rng: np.random.Generator) -> None:
    t, fat = pen.tones, rng.uniform(0.29, 0.33)
    y = 0.5
    pen.blob([(0.34, y), (0.72, y + 0.32), (0.64, y), (0.72, y - 0.32)], t.dark)
    pen.blob([(-0.18, y + 0.24), (0.0, y + 0.46), (0.3, y + 0.36), (0.22, y + 0.16)], t.dark)
    pen.blob(
        [
            (-0.58, y),
            (-0.3, y + fat * 0.86),
            (0.05, y + fat),
            (0.46, y + 0.06),
            (0.46, y - 0.06),
            (0.05, y - fat),
            (-0.3, y - fat * 0.86),
        ],
        t.main,
    )
    pen.blob(
        [(-0.44, y - 0.16), (-0.1, y - 0.12), (0.2, y - 0.12), (0.0, y - 0.25), (-0.25, y - 0.24)],
        t.light,
        outlined=False,
    )
    pen.blob([(-0.06, y + 0.02), (0.16, y + 0.12), (0.2, y - 0.1), (0.02, y - 0.1)], t.dark)
    pen.ellipse(-0.34, y + 0.08, 0.085, 0.085, (255, 255, 255))
    pen.ellipse(-0.36, y + 0.08, 0.042, 0.042, INK, outlined=False)


def bird(pen: Pen, rng: np.random.Generator) -> None:
    t, lift = pen.tones, rng.uniform(-0.05, 0.06)
    pen.shape([(-0.5, 0.58), (-0.74, 0.5), (-0.5, 0.47)], (250, 170, 40))
    pen.shape([(0.28, 0.42), (0.74, 0.46), (0.64, 0.34), (0.72, 0.22), (0.28, 0.27)], t.dark)
    pen.blob(
        [
            (-0.55, 0.54),
            (-0.46, 0.68),
            (-0.3, 0.7),
            (-0.1, 0.55),
            (0.2, 0.5),
            (0.42, 0.36),
            (0.2, 0.2),
            (-0.15, 0.16),
            (-0.4, 0.32),
        ],
        t.main,
    )
    pen.blob([(-0.4, 0.35), (-0.12, 0.32), (0.14, 0.25), (-0.12, 0.19)], t.light, outlined=False)
    pen.blob(
        [
            (-0.2, 0.44),
            (-0.06, 0.78 + lift),
            (0.26, 1.02 + lift),
            (0.36, 0.8 + lift),
            (0.24, 0.42),
            (0.02, 0.34),
        ],
        t.dark,
    )
    pen.blob([(-0.08, 0.5), (0.04, 0.74 + lift), (0.22, 0.88 + lift), (0.16, 0.56)], t.main, outlined=False)
    pen.ellipse(-0.39, 0.57, 0.06, 0.06, (255, 255, 255), outlined=False)
    pen.ellipse(-0.4, 0.57, 0.034, 0.034, INK, outlined=False)


def butterfly(pen: Pen, rng: np.random.Generator) -> None:
    t, span = pen.tones, rng.uniform(0.6, 0.66)
    for side in (-1, 1):
        pen.blob(
            [
                (0, 0.5),
                (side * 0.14, 0.84),
                (side * span * 0.84, 1.0),
                (side * span, 0.76),
                (side * 0.42, 0.5),
            ],
            t.main,
        )
        pen.blob(
            [
                (0, 0.48),
                (side * 0.4, 0.46),
                (side * span * 0.8, 0.26),
                (side * 0.36, 0.0),
                (side * 0.12, 0.16),
            ],
            t.dark,
        )
        pen.ellipse(side * 0.4, 0.76, 0.11, 0.1, t.light, outlined=False)
        pen.ellipse(side * 0.33, 0.25, 0.085, 0.085, t.light, outlined=False)
        pen.stroke([(0, 0.7), (side * 0.07, 0.9), (side * 0.15, 0.98)], 0.026, INK)
    pen.ellipse(0, 0.47, 0.055, 0.3, INK, outlined=False)
