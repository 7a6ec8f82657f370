"""The sixteen subjects: one function each, drawn in the pen's units with a little variety within the kind.

Each faces one fixed way (a random flip teaches a small model animals with two tails) and is a handful of
large shapes, because thin details are what an 8× smaller latent loses first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.training.scenes.palette import RGB, mix
from engine.training.scenes.pen import Pen, arc, smooth

WOOD: RGB = (112, 70, 42)
SLATE: RGB = (84, 82, 100)
CREAM: RGB = (250, 238, 212)
GLOW: RGB = (255, 222, 120)
GLASS: RGB = (178, 222, 240)
LEAF: RGB = (62, 140, 62)
INK: RGB = (30, 28, 36)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a subject is drawn and placed: `size` is its full height as a share of the shorter side."""

    draw: Callable[[Pen, np.random.Generator], None]
    size: float
    stance: str  # "ground", "water" or "air"


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


def smooth_open(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A smooth curve through `points` that does not return to its beginning."""
    return smooth([*points, points[-1], points[0]])[: 8 * (len(points) - 1) + 1]


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


KINDS: dict[str, Kind] = {
    "sailboat": Kind(sailboat, 0.7, "water"),
    "house": Kind(house, 0.6, "ground"),
    "castle": Kind(castle, 0.64, "ground"),
    "lighthouse": Kind(lighthouse, 0.78, "ground"),
    "tree": Kind(tree, 0.7, "ground"),
    "flower": Kind(flower, 0.72, "ground"),
    "mushroom": Kind(mushroom, 0.58, "ground"),
    "cat": Kind(cat, 0.64, "ground"),
    "fish": Kind(fish, 0.52, "air"),
    "bird": Kind(bird, 0.54, "air"),
    "butterfly": Kind(butterfly, 0.56, "air"),
    "car": Kind(car, 0.42, "ground"),
    "rocket": Kind(rocket, 0.76, "air"),
    "balloon": Kind(balloon, 0.76, "air"),
    "umbrella": Kind(umbrella, 0.66, "ground"),
    "teapot": Kind(teapot, 0.56, "ground"),
}
