"""Things of the house."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import INK, SLATE, WOOD
from engine.training.scenes.pen import Pen, arc, smooth_open


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


def robot(pen: Pen, rng: np.random.Generator) -> None:
    """A tin toy: square head with glowing eyes and an aerial, arms and legs of blocks."""
    t, arm = pen.tones, rng.uniform(-0.04, 0.06)
    for side in (-1, 1):
        pen.box(side * 0.15 - 0.08, 0.0, side * 0.15 + 0.08, 0.24, t.dark)
        pen.box(side * 0.17 - 0.12, 0.0, side * 0.17 + 0.12, 0.08, SLATE)
        pen.stroke(
            [(side * 0.28, 0.54), (side * 0.44, 0.42), (side * 0.44, 0.28 + arm)], 0.1, t.dark, outlined=True
        )
        pen.ellipse(side * 0.44, 0.26 + arm, 0.08, 0.08, SLATE)
    pen.box(-0.3, 0.2, 0.3, 0.6, t.main)
    pen.box(-0.18, 0.3, 0.18, 0.52, t.light)
    for x, colour in ((-0.09, (230, 70, 60)), (0.0, (250, 210, 70)), (0.09, (80, 190, 110))):
        pen.ellipse(x, 0.41, 0.038, 0.038, colour, outlined=False)
    pen.box(-0.07, 0.6, 0.07, 0.66, SLATE)
    pen.stroke([(0, 0.9), (0, 1.02)], 0.03, SLATE)
    pen.ellipse(0, 1.04, 0.05, 0.05, (240, 90, 80))
    pen.box(-0.26, 0.64, 0.26, 0.94, t.main)
    for side in (-1, 1):
        pen.ellipse(side * 0.12, 0.82, 0.07, 0.07, (255, 240, 150))
        pen.ellipse(side * 0.12, 0.82, 0.03, 0.03, INK, outlined=False)
        pen.box(side * 0.3 - 0.04, 0.74, side * 0.3 + 0.04, 0.86, SLATE)
    pen.box(-0.13, 0.69, 0.13, 0.74, INK, outlined=False)


def guitar(pen: Pen, rng: np.random.Generator) -> None:
    """Upright: a body of two bulges with a sound hole, a long neck, a head with pegs."""
    t, w = pen.tones, rng.uniform(0.26, 0.29)
    pen.box(-0.05, 0.46, 0.05, 0.9, WOOD)
    pen.shape([(-0.08, 0.86), (0.08, 0.86), (0.1, 1.02), (-0.1, 1.02)], INK)
    for side in (-1, 1):
        for y in (0.9, 0.97):
            pen.ellipse(side * 0.13, y, 0.035, 0.025, (220, 214, 200), outlined=False)
    pen.blob(
        [
            (0.0, 0.0),
            (0.2, 0.02),
            (w + 0.03, 0.18),
            (0.16, 0.34),
            (w - 0.06, 0.48),
            (0.1, 0.58),
            (0.0, 0.57),
            (-0.1, 0.58),
            (-w + 0.06, 0.48),
            (-0.16, 0.34),
            (-w - 0.03, 0.18),
            (-0.2, 0.02),
        ],
        t.main,
    )
    pen.blob([(-0.2, 0.1), (-0.12, 0.06), (-0.1, 0.2), (-0.2, 0.24)], t.light, outlined=False)
    pen.ellipse(0, 0.36, 0.085, 0.085, INK)
    pen.box(-0.12, 0.13, 0.12, 0.17, t.deep)
    pen.box(-0.035, 0.44, 0.035, 0.86, (150, 100, 62), outlined=False)
    pen.stroke([(0, 0.15), (0, 0.92)], 0.02, (250, 244, 220))


def clock(pen: Pen, rng: np.random.Generator) -> None:
    """An alarm clock: two bells, two feet, hands at ten past ten."""
    t, turn = pen.tones, rng.uniform(-0.1, 0.1)
    for side in (-1, 1):
        pen.shape([(side * 0.2, 0.16), (side * 0.3, 0.12), (side * 0.34, 0.0), (side * 0.24, 0.0)], t.deep)
        pen.blob([(side * 0.06, 0.84), (side * 0.12, 1.0), (side * 0.32, 0.98), (side * 0.4, 0.78)], t.dark)
    pen.box(-0.03, 0.86, 0.03, 1.04, t.deep)
    pen.ellipse(0, 0.47, 0.43, 0.43, t.main)
    pen.ellipse(0, 0.47, 0.31, 0.31, (255, 252, 240))
    for i in range(4):
        a = math.pi / 2 * i
        pen.ellipse(0.25 * math.cos(a), 0.47 + 0.25 * math.sin(a), 0.03, 0.03, INK, outlined=False)
    for angle, reach, width in ((2.4 + turn, 0.16, 0.05), (0.7 + turn, 0.23, 0.035)):
        pen.stroke([(0, 0.47), (reach * math.cos(angle), 0.47 + reach * math.sin(angle))], width, INK)
    pen.ellipse(0, 0.47, 0.035, 0.035, (220, 50, 50), outlined=False)


def chair(pen: Pen, rng: np.random.Generator) -> None:
    """An armchair from the front: high back, rolled arms, a cushion, short legs."""
    t, high = pen.tones, rng.uniform(0.94, 1.02)
    for side in (-1, 1):
        pen.shape([(side * 0.3, 0.14), (side * 0.4, 0.14), (side * 0.38, 0.0), (side * 0.32, 0.0)], WOOD)
    pen.blob(
        [(-0.34, 0.3), (-0.36, high - 0.12), (-0.2, high), (0.2, high), (0.36, high - 0.12), (0.34, 0.3)],
        t.main,
    )
    for x, y in ((-0.14, 0.78), (0.14, 0.78), (0.0, 0.66)):
        pen.ellipse(x, y, 0.03, 0.03, t.deep, outlined=False)
    pen.box(-0.34, 0.12, 0.34, 0.32, t.dark)
    pen.blob([(-0.33, 0.32), (-0.3, 0.48), (0.3, 0.48), (0.33, 0.32), (0.0, 0.28)], t.light)
    for side in (-1, 1):
        pen.blob(
            [
                (side * 0.3, 0.12),
                (side * 0.3, 0.5),
                (side * 0.36, 0.6),
                (side * 0.5, 0.58),
                (side * 0.52, 0.46),
                (side * 0.48, 0.12),
            ],
            t.main,
        )
        pen.ellipse(side * 0.42, 0.52, 0.06, 0.06, t.dark, outlined=False)


def cup(pen: Pen, rng: np.random.Generator) -> None:
    """A mug with a large handle and a wisp of steam, on its saucer."""
    t, drift = pen.tones, rng.uniform(-0.03, 0.03)
    for x in (-0.14, 0.06):
        steam = [(x, 0.8), (x + 0.06 + drift, 0.89), (x - 0.02, 0.97), (x + 0.05 + drift, 1.06)]
        pen.stroke(smooth_open(steam), 0.045, (240, 240, 246))
    pen.ellipse(0, 0.06, 0.56, 0.08, t.light)
    pen.stroke(arc(0.34, 0.46, 0.2, 0.17, -90, 90, 14), 0.08, t.dark, outlined=True)
    pen.blob(
        [(-0.4, 0.72), (-0.38, 0.3), (-0.22, 0.08), (0.22, 0.08), (0.38, 0.3), (0.4, 0.72), (0.0, 0.7)],
        t.main,
    )
    pen.ellipse(0, 0.71, 0.4, 0.08, t.dark)
    pen.ellipse(0, 0.7, 0.33, 0.055, (92, 54, 34), outlined=False)
    pen.stroke([(-0.36, 0.4), (0.0, 0.36), (0.36, 0.4)], 0.06, t.light)


def crown(pen: Pen, rng: np.random.Generator) -> None:
    """Five points with balls, a jewelled band."""
    t, high = pen.tones, rng.uniform(0.8, 0.88)
    points: list[tuple[float, float]] = [(-0.5, 0.14)]
    tips = ((-0.62, high - 0.12), (-0.32, high), (0.0, high + 0.08), (0.32, high), (0.62, high - 0.12))
    for i, tip in enumerate(tips):
        points.append(tip)
        if i < 4:
            points.append(((tips[i][0] + tips[i + 1][0]) / 2 * 0.92, 0.42))
    pen.shape([*points, (0.5, 0.14)], t.main)
    for x, y in tips:
        pen.ellipse(x, y + 0.05, 0.07, 0.07, t.light)
    pen.shape([(-0.53, 0.0), (0.53, 0.0), (0.52, 0.2), (-0.52, 0.2)], t.dark)
    for x, colour in ((-0.3, (90, 200, 250)), (0.0, (250, 80, 110)), (0.3, (90, 200, 250))):
        pen.ellipse(x, 0.1, 0.065, 0.065, colour, outlined=False)


def bell(pen: Pen, rng: np.random.Generator) -> None:
    """A hand bell's body with a flared rim, a clapper and a bow on top."""
    t, w = pen.tones, rng.uniform(0.44, 0.48)
    pen.ellipse(0, 0.08, 0.1, 0.1, t.deep)
    pen.blob(
        [
            (-w, 0.16),
            (-0.3, 0.3),
            (-0.26, 0.6),
            (-0.14, 0.8),
            (0.14, 0.8),
            (0.26, 0.6),
            (0.3, 0.3),
            (w, 0.16),
        ],
        t.main,
    )
    pen.shape([(-w - 0.03, 0.12), (w + 0.03, 0.12), (w - 0.04, 0.23), (-w + 0.04, 0.23)], t.dark)
    pen.blob([(-0.2, 0.3), (-0.18, 0.58), (-0.09, 0.72), (-0.1, 0.5), (-0.12, 0.3)], t.light, outlined=False)
    bow = (220, 50, 70) if t.main[0] < 200 or t.main[1] > 110 else (70, 110, 220)
    for side in (-1, 1):
        pen.blob([(0, 0.85), (side * 0.26, 0.99), (side * 0.3, 0.84), (side * 0.2, 0.75)], bow)
    pen.ellipse(0, 0.85, 0.07, 0.07, bow)


def kite(pen: Pen, rng: np.random.Generator) -> None:
    """A diamond of two tones with a tail of bows."""
    t, sway = pen.tones, rng.uniform(-0.08, 0.08)
    tail = smooth_open([(0.0, 0.4), (0.12 + sway, 0.28), (-0.06, 0.16), (0.1 + sway, 0.0)])
    pen.stroke(tail, 0.035, WOOD)
    for x, y in ((0.11 + sway, 0.28), (-0.05, 0.15), (0.1 + sway, 0.02)):
        pen.shape([(x, y), (x - 0.11, y + 0.06), (x - 0.11, y - 0.06)], t.light)
        pen.shape([(x, y), (x + 0.11, y + 0.06), (x + 0.11, y - 0.06)], t.light)
    pen.shape([(0, 1.0), (0.36, 0.72), (0, 0.36), (-0.36, 0.72)], t.main)
    pen.shape([(0, 1.0), (0.36, 0.72), (0, 0.72)], t.light, outlined=False)
    pen.shape([(0, 0.36), (-0.36, 0.72), (0, 0.72)], t.dark, outlined=False)
    pen.stroke([(0, 0.37), (0, 0.99)], 0.028, WOOD)
    pen.stroke([(-0.35, 0.72), (0.35, 0.72)], 0.028, WOOD)


def gift(pen: Pen, rng: np.random.Generator) -> None:
    """A box with a lid, a ribbon and a bow."""
    t, w = pen.tones, rng.uniform(0.4, 0.45)
    ribbon = (255, 214, 70) if t.main[0] < 240 or t.main[2] > 90 else (220, 40, 60)
    pen.box(-w, 0.0, w, 0.56, t.main)
    pen.box(-w - 0.06, 0.5, w + 0.06, 0.7, t.dark)
    pen.box(-0.09, 0.0, 0.09, 0.7, ribbon)
    for side in (-1, 1):
        pen.blob([(0, 0.72), (side * 0.14, 0.96), (side * 0.36, 0.98), (side * 0.36, 0.76)], ribbon)
        pen.ellipse(side * 0.22, 0.84, 0.07, 0.045, t.deep, outlined=False)
    pen.ellipse(0, 0.76, 0.09, 0.08, ribbon)
