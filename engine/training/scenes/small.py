"""Small animals, of the pond, the shore and the garden, and the birds that stand."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import CREAM, INK
from engine.training.scenes.pen import Pen, arc, smooth_open

BEAK = (250, 170, 40)


def _eye(pen: Pen, x: float, y: float, r: float) -> None:
    pen.ellipse(x, y, r, r, (255, 255, 255), outlined=False)
    pen.ellipse(x, y, r * 0.6, r * 0.6, INK, outlined=False)


def owl(pen: Pen, rng: np.random.Generator) -> None:
    """Faces the viewer: two huge eyes, tufts for ears, folded wings."""
    t, w = pen.tones, rng.uniform(0.36, 0.4)
    for side in (-1, 1):
        pen.shape([(side * 0.1, 0.84), (side * 0.36, 1.04), (side * 0.37, 0.72)], t.dark)
        pen.ellipse(side * 0.14, 0.03, 0.1, 0.05, BEAK)
    pen.blob(
        [
            (-0.24, 0.04),
            (0.24, 0.04),
            (w, 0.3),
            (w, 0.68),
            (0.22, 0.94),
            (-0.22, 0.94),
            (-w, 0.68),
            (-w, 0.3),
        ],
        t.main,
    )
    pen.blob([(-0.17, 0.08), (0.17, 0.08), (0.24, 0.3), (0.14, 0.5), (-0.14, 0.5), (-0.24, 0.3)], t.light)
    for side in (-1, 1):
        pen.blob(
            [(side * (w - 0.1), 0.6), (side * (w + 0.08), 0.46), (side * w, 0.16), (side * 0.22, 0.24)],
            t.dark,
        )
        pen.ellipse(side * 0.17, 0.7, 0.165, 0.165, CREAM)
        pen.ellipse(side * 0.16, 0.7, 0.085, 0.085, INK, outlined=False)
        pen.ellipse(side * 0.13, 0.74, 0.03, 0.03, (255, 255, 255), outlined=False)
    pen.shape([(-0.07, 0.63), (0.07, 0.63), (0, 0.5)], BEAK)


def penguin(pen: Pen, rng: np.random.Generator) -> None:
    """Upright, white in front, flippers out, webbed feet."""
    t, flap = pen.tones, rng.uniform(-0.04, 0.06)
    for side in (-1, 1):
        pen.ellipse(side * 0.15, 0.04, 0.14, 0.055, BEAK)
        pen.blob(
            [(side * 0.2, 0.62), (side * 0.34, 0.56), (side * (0.46 + flap), 0.28), (side * 0.28, 0.34)],
            t.dark,
        )
    pen.blob(
        [
            (-0.22, 0.04),
            (0.22, 0.04),
            (0.32, 0.3),
            (0.24, 0.62),
            (0.2, 0.88),
            (0, 0.99),
            (-0.2, 0.88),
            (-0.24, 0.62),
            (-0.32, 0.3),
        ],
        t.main,
    )
    belly = (250, 250, 246) if t.main[0] + t.main[1] + t.main[2] < 690 else (255, 226, 170)
    pen.blob(
        [(-0.14, 0.08), (0.14, 0.08), (0.23, 0.3), (0.13, 0.6), (-0.13, 0.6), (-0.23, 0.3)],
        belly,
        outlined=False,
    )
    for side in (-1, 1):
        pen.ellipse(side * 0.09, 0.8, 0.075, 0.085, belly, outlined=False)
        pen.ellipse(side * 0.08, 0.8, 0.036, 0.045, INK, outlined=False)
    pen.shape([(-0.09, 0.72), (0.09, 0.72), (0, 0.6)], BEAK)


def duck(pen: Pen, rng: np.random.Generator) -> None:
    """A bath duck in profile, looking left, swimming."""
    t, tip = pen.tones, rng.uniform(-0.03, 0.06)
    pen.shape(
        [(-0.6, 0.74), (-0.86, 0.68), (-0.82, 0.6), (-0.56, 0.58)],
        BEAK if t.main[2] > 60 or t.main[1] < 120 else (226, 90, 40),
    )
    pen.blob(
        [
            (-0.5, 0.32),
            (-0.36, 0.06),
            (0.2, 0.0),
            (0.56, 0.16),
            (0.78, 0.56 + tip),
            (0.46, 0.48),
            (0.1, 0.46),
            (-0.16, 0.54),
        ],
        t.main,
    )
    pen.ellipse(-0.36, 0.7, 0.27, 0.26, t.main)
    pen.blob([(-0.12, 0.36), (0.2, 0.4), (0.5, 0.38), (0.3, 0.18), (0.0, 0.16)], t.dark)
    _eye(pen, -0.44, 0.76, 0.065)


def turtle(pen: Pen, rng: np.random.Generator) -> None:
    """In profile, looking left: a domed shell with plates, pale head and feet."""
    t, high = pen.tones, rng.uniform(0.78, 0.86)
    skin = (170, 190, 110) if t.main[1] < t.main[0] or t.main[2] > t.main[1] else (222, 196, 120)
    pen.shape([(0.58, 0.2), (0.86, 0.1), (0.56, 0.1)], skin)
    for x in (-0.46, 0.3):
        pen.blob([(x, 0.0), (x + 0.22, 0.0), (x + 0.24, 0.24), (x - 0.02, 0.24)], skin)
    pen.blob(
        [(-0.56, 0.2), (-0.66, 0.42), (-0.9, 0.44), (-1.0, 0.6), (-0.86, 0.74), (-0.66, 0.68), (-0.44, 0.3)],
        skin,
    )
    dome = [*arc(0, 0.2, 0.64, high - 0.2, 180, 0, 18)]
    pen.shape([*dome, (0.66, 0.16), (-0.66, 0.16)], t.main)
    for x, y in ((-0.3, 0.42), (0.0, 0.56), (0.3, 0.42)):
        pen.blob(
            [(x - 0.13, y - 0.1), (x, y - 0.15), (x + 0.13, y - 0.1), (x + 0.1, y + 0.1), (x - 0.1, y + 0.1)],
            t.dark,
        )
    pen.blob([(-0.7, 0.22), (0.0, 0.26), (0.7, 0.22), (0.6, 0.12), (0.0, 0.14), (-0.6, 0.12)], t.light)
    _eye(pen, -0.86, 0.62, 0.06)


def snail(pen: Pen, rng: np.random.Generator) -> None:
    """In profile, looking left: a coiled house on a pale foot, feelers up."""
    t, r = pen.tones, rng.uniform(0.36, 0.4)
    body = (240, 206, 150) if t.main[0] < 225 or t.main[1] < 150 else (196, 160, 130)
    for x in (-0.74, -0.58):
        pen.stroke([(-0.62, 0.4), (x - 0.02, 0.72)], 0.05, body, outlined=True)
        pen.ellipse(x - 0.02, 0.74, 0.055, 0.055, INK)
    pen.blob(
        [
            (-0.8, 0.1),
            (-0.82, 0.42),
            (-0.62, 0.52),
            (-0.46, 0.34),
            (-0.2, 0.16),
            (0.5, 0.18),
            (0.86, 0.02),
            (0.2, 0.0),
            (-0.6, 0.0),
        ],
        body,
    )
    x, y = 0.12, 0.16 + r
    pen.ellipse(x, y, r, r, t.main)
    spiral = [
        (
            x + r * (0.84 - 0.1 * k) * math.cos(0.75 * k - 1.4),
            y + r * (0.84 - 0.1 * k) * math.sin(0.75 * k - 1.4),
        )
        for k in range(9)
    ]
    pen.stroke(smooth_open(spiral), 0.075, t.deep)
    pen.blob(
        [
            (x - r * 0.86, y + 0.06),
            (x - r * 0.6, y + r * 0.6),
            (x - r * 0.3, y + r * 0.78),
            (x - r * 0.6, y + r * 0.3),
        ],
        t.light,
        outlined=False,
    )


def whale(pen: Pen, rng: np.random.Generator) -> None:
    """In profile, looking left, half out of the water: a spout above, a raised fluke behind."""
    t, jet = pen.tones, rng.uniform(-0.04, 0.04)
    water = (150, 206, 240)
    for side in (-1, 1):
        pen.stroke(
            smooth_open([(-0.3, 0.66), (-0.3 + side * 0.08, 0.92 + jet), (-0.3 + side * 0.24, 0.86 + jet)]),
            0.06,
            water,
            outlined=True,
        )
    pen.shape([(0.72, 0.5), (0.56, 0.86), (0.82, 0.74), (1.08, 0.88), (0.94, 0.5)], t.dark)
    pen.blob(
        [
            (-0.86, 0.1),
            (-0.9, 0.4),
            (-0.66, 0.66),
            (-0.2, 0.68),
            (0.3, 0.46),
            (0.62, 0.38),
            (0.78, 0.58),
            (0.92, 0.52),
            (0.86, 0.2),
            (0.5, 0.0),
            (-0.6, -0.02),
        ],
        t.main,
    )
    pen.blob(
        [(-0.86, 0.14), (-0.5, 0.2), (0.1, 0.12), (0.4, 0.0), (-0.6, -0.01)],
        (250, 250, 246) if t.main[2] < 235 else (200, 210, 226),
        outlined=False,
    )
    pen.stroke([(-0.86, 0.22), (-0.6, 0.26), (-0.4, 0.22)], 0.035, t.deep)
    pen.blob([(-0.2, 0.2), (0.08, 0.24), (0.16, 0.02), (-0.04, 0.04)], t.dark)
    _eye(pen, -0.54, 0.4, 0.065)


def frog(pen: Pen, rng: np.random.Generator) -> None:
    """Sits facing the viewer: eyes on top of the head, a wide mouth, folded legs."""
    t, w = pen.tones, rng.uniform(0.5, 0.54)
    for side in (-1, 1):
        pen.blob(
            [
                (side * 0.3, 0.06),
                (side * 0.42, 0.4),
                (side * 0.66, 0.36),
                (side * 0.74, 0.06),
                (side * 0.5, 0.0),
            ],
            t.dark,
        )
        pen.ellipse(side * 0.27, 0.87, 0.17, 0.17, t.main)
    pen.blob([(-0.36, 0.06), (0.36, 0.06), (0.46, 0.3), (0.36, 0.5), (-0.36, 0.5), (-0.46, 0.3)], t.main)
    pen.ellipse(0, 0.24, 0.26, 0.2, t.light, outlined=False)
    pen.blob(
        [(-w, 0.56), (-0.4, 0.82), (0.0, 0.86), (0.4, 0.82), (w, 0.56), (0.3, 0.38), (-0.3, 0.38)], t.main
    )
    pen.stroke(smooth_open([(-0.38, 0.6), (-0.16, 0.51), (0.16, 0.51), (0.38, 0.6)]), 0.05, INK)
    for side in (-1, 1):
        pen.ellipse(side * 0.27, 0.89, 0.11, 0.11, (255, 255, 255), outlined=False)
        pen.ellipse(side * 0.26, 0.89, 0.06, 0.075, INK, outlined=False)
        pen.ellipse(side * 0.26, 0.04, 0.15, 0.06, t.light)


def octopus(pen: Pen, rng: np.random.Generator) -> None:
    """A tall head above a skirt of curling arms."""
    t, curl = pen.tones, rng.uniform(-0.05, 0.05)
    for i, x in enumerate((-0.62, -0.34, -0.1, 0.14, 0.38, 0.64)):
        side = -1 if x < 0 else 1
        arm = [(x * 0.5, 0.36), (x * 0.9, 0.16), (x + side * 0.06, 0.03), (x + side * 0.2, 0.1 + curl)]
        pen.stroke(smooth_open(arm), 0.13, t.dark if i % 2 else t.main, outlined=True)
    pen.blob(
        [
            (-0.3, 0.24),
            (0.3, 0.24),
            (0.34, 0.44),
            (0.44, 0.72),
            (0.28, 0.96),
            (0.0, 1.02),
            (-0.28, 0.96),
            (-0.44, 0.72),
            (-0.34, 0.44),
        ],
        t.main,
    )
    pen.blob([(-0.32, 0.74), (-0.24, 0.9), (-0.1, 0.94), (-0.18, 0.8)], t.light, outlined=False)
    for side in (-1, 1):
        pen.ellipse(side * 0.15, 0.52, 0.11, 0.12, (255, 255, 255), outlined=False)
        pen.ellipse(side * 0.13, 0.51, 0.058, 0.07, INK, outlined=False)
    pen.stroke(smooth_open([(-0.1, 0.36), (0.0, 0.32), (0.1, 0.36)]), 0.04, INK)


def crab(pen: Pen, rng: np.random.Generator) -> None:
    """A broad shell, two raised claws, eyes on stalks, legs at the sides."""
    t, claw = pen.tones, rng.uniform(-0.04, 0.05)
    for side in (-1, 1):
        for y, reach in ((0.34, 0.84), (0.24, 0.86), (0.14, 0.74)):
            pen.stroke(
                [(side * 0.4, y + 0.04), (side * (reach - 0.14), y), (side * reach, y - 0.16)],
                0.075,
                t.dark,
                outlined=True,
            )
        pen.stroke([(side * 0.44, 0.44), (side * 0.72, 0.58), (side * 0.7, 0.74)], 0.1, t.main, outlined=True)
        pen.blob(
            [
                (side * 0.6, 0.7),
                (side * 0.5, 0.92 + claw),
                (side * 0.62, 1.06 + claw),
                (side * 0.68, 0.88),
                (side * 0.8, 1.04 + claw),
                (side * 0.9, 0.86),
                (side * 0.8, 0.7),
            ],
            t.main,
        )
        pen.stroke([(side * 0.16, 0.5), (side * 0.17, 0.7)], 0.05, t.main, outlined=True)
        _eye(pen, side * 0.17, 0.73, 0.085)
    pen.blob(
        [(-0.56, 0.34), (-0.4, 0.54), (0.0, 0.6), (0.4, 0.54), (0.56, 0.34), (0.32, 0.1), (-0.32, 0.1)],
        t.main,
    )
    pen.blob([(-0.36, 0.44), (0.0, 0.52), (0.1, 0.46), (-0.2, 0.38)], t.light, outlined=False)
    pen.stroke(smooth_open([(-0.14, 0.24), (0.0, 0.19), (0.14, 0.24)]), 0.045, t.deep)


def ladybug(pen: Pen, rng: np.random.Generator) -> None:
    """From above: a round back of two halves with spots, a black head with feelers."""
    t, turn = pen.tones, rng.uniform(-0.03, 0.03)
    for side in (-1, 1):
        for y, reach in ((0.2, 0.5), (0.4, 0.56), (0.58, 0.5)):
            pen.stroke(
                [(side * 0.3, y), (side * reach, y + 0.02), (side * (reach + 0.06), y - 0.08)], 0.05, INK
            )
        pen.stroke(smooth_open([(side * 0.08, 0.86), (side * 0.14, 0.98), (side * 0.26, 1.02)]), 0.04, INK)
    pen.ellipse(0, 0.76, 0.22, 0.17, INK)
    pen.ellipse(0, 0.38, 0.42, 0.39, t.main)
    spot = INK if t.main[0] + t.main[1] + t.main[2] > 200 else (226, 226, 232)
    pen.stroke([(0, 0.0), (0, 0.74)], 0.045, spot)
    for side in (-1, 1):
        for x, y, r in ((0.2, 0.56, 0.085), (0.25, 0.3 + turn, 0.095), (0.13, 0.12, 0.06)):
            pen.ellipse(side * x, y, r, r, spot, outlined=False)
        pen.ellipse(side * 0.11, 0.8, 0.05, 0.05, (255, 255, 255), outlined=False)
