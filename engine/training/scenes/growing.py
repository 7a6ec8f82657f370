"""What grows in gardens and woods."""

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


def cactus(pen: Pen, rng: np.random.Generator) -> None:
    """A ribbed column with two raised arms in a clay pot."""
    t, high = pen.tones, rng.uniform(-0.04, 0.04)
    for side, foot, top in ((-1, 0.5, 0.78), (1, 0.44, 0.7)):
        x = side * 0.32
        pen.stroke([(0, foot), (x, foot), (x, top + high)], 0.15, t.main, outlined=True)
        pen.ellipse(x, top + high, 0.075, 0.075, t.main)
        pen.box(x - 0.06, foot, x + 0.06, top + high, t.main, outlined=False)
    pen.blob(
        [(-0.15, 0.2), (0.15, 0.2), (0.16, 0.6), (0.12, 0.92), (0.0, 0.99), (-0.12, 0.92), (-0.16, 0.6)],
        t.main,
    )
    for x in (-0.06, 0.06):
        pen.stroke([(x, 0.3), (x, 0.9)], 0.025, t.light)
    pen.blob([(-0.1, 0.97), (0.0, 1.08), (0.1, 0.97), (0.0, 0.92)], (255, 120, 170))
    pen.shape([(-0.22, 0.0), (0.22, 0.0), (0.28, 0.24), (-0.28, 0.24)], (196, 98, 60))
    pen.box(-0.31, 0.2, 0.31, 0.3, (214, 116, 72))


def pumpkin(pen: Pen, rng: np.random.Generator) -> None:
    """Broad and ribbed, with a bent stalk and a carved face."""
    t, w = pen.tones, rng.uniform(0.56, 0.62)
    pen.stroke(smooth_open([(0.0, 0.74), (0.02, 0.88), (0.14, 0.98)]), 0.1, (74, 110, 52), outlined=True)
    for side in (-1, 1):
        pen.ellipse(side * w * 0.56, 0.4, w * 0.46, 0.36, t.dark)
    for side in (-1, 1):
        pen.ellipse(side * w * 0.28, 0.4, w * 0.44, 0.39, t.main)
    pen.ellipse(0, 0.4, w * 0.36, 0.41, t.light)
    for side in (-1, 1):
        pen.shape([(side * 0.3, 0.46), (side * 0.12, 0.46), (side * 0.2, 0.62)], INK, outlined=False)
    pen.shape(
        [(-0.32, 0.3), (-0.12, 0.24), (0.0, 0.3), (0.12, 0.24), (0.32, 0.3), (0.18, 0.14), (-0.18, 0.14)],
        INK,
        outlined=False,
    )


def apple(pen: Pen, rng: np.random.Generator) -> None:
    """Heart-shaped at the top, with a stalk, one leaf and a bite of light."""
    t, w = pen.tones, rng.uniform(0.42, 0.46)
    pen.blob(
        [
            (0.0, 0.74),
            (0.2, 0.82),
            (w, 0.7),
            (w + 0.01, 0.4),
            (0.26, 0.04),
            (0.08, 0.0),
            (0.0, 0.04),
            (-0.08, 0.0),
            (-0.26, 0.04),
            (-w - 0.01, 0.4),
            (-w, 0.7),
            (-0.2, 0.82),
        ],
        t.main,
    )
    pen.blob([(0.3, 0.2), (0.42, 0.42), (0.38, 0.66), (0.26, 0.4)], t.dark, outlined=False)
    pen.blob([(-0.32, 0.48), (-0.3, 0.66), (-0.16, 0.72), (-0.22, 0.54)], t.light, outlined=False)
    pen.stroke(smooth_open([(0.0, 0.72), (0.0, 0.88), (-0.06, 1.0)]), 0.055, WOOD, outlined=True)
    pen.blob([(0.02, 0.86), (0.16, 1.02), (0.38, 1.0), (0.26, 0.86)], LEAF)
