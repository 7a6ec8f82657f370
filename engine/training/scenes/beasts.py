"""Animals that walk."""

from __future__ import annotations

import numpy as np

from engine.training.scenes.palette import CREAM, INK, WOOD
from engine.training.scenes.pen import Pen, smooth_open


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


def _eye(pen: Pen, x: float, y: float, r: float) -> None:
    """A round eye with a pupil that looks ahead."""
    pen.ellipse(x, y, r, r, (255, 255, 255), outlined=False)
    pen.ellipse(x, y, r * 0.62, r * 0.62, INK, outlined=False)


def dog(pen: Pen, rng: np.random.Generator) -> None:
    """Stands in profile, looking left, with a hanging ear and a raised tail."""
    t, wag = pen.tones, rng.uniform(-0.04, 0.05)
    pen.stroke(smooth_open([(0.42, 0.5), (0.56, 0.62), (0.6 + wag, 0.84)]), 0.1, t.main, outlined=True)
    for x in (-0.24, 0.3):
        pen.box(x + 0.06, 0.02, x + 0.18, 0.36, t.dark)
    pen.blob(
        [(-0.4, 0.5), (-0.3, 0.66), (0.1, 0.64), (0.46, 0.6), (0.5, 0.36), (0.1, 0.26), (-0.32, 0.3)], t.main
    )
    for x in (-0.34, 0.26):
        pen.shape([(x, 0), (x + 0.15, 0), (x + 0.14, 0.38), (x, 0.38)], t.main)
    pen.blob([(-0.5, 0.62), (-0.78, 0.6), (-0.8, 0.72), (-0.58, 0.82)], t.light)
    pen.ellipse(-0.42, 0.78, 0.24, 0.22, t.main)
    pen.ellipse(-0.79, 0.7, 0.05, 0.045, INK, outlined=False)
    pen.blob([(-0.36, 0.94), (-0.2, 0.96), (-0.14, 0.7), (-0.24, 0.52), (-0.34, 0.66)], t.deep)
    _eye(pen, -0.52, 0.84, 0.055)
    pen.stroke([(-0.36, 0.56), (-0.2, 0.62)], 0.07, (214, 60, 60) if t.main[0] < 180 else (50, 90, 200))


def rabbit(pen: Pen, rng: np.random.Generator) -> None:
    """Sits facing the viewer, with two long upright ears."""
    t, lean = pen.tones, rng.uniform(-0.03, 0.03)
    for side in (-1, 1):
        x = side * 0.13
        pen.blob(
            [
                (x - 0.07, 0.58),
                (x - 0.08 + lean, 0.88),
                (x + side * 0.05 + lean, 1.04),
                (x + 0.09 + lean, 0.88),
                (x + 0.07, 0.58),
            ],
            t.main,
        )
        pen.blob(
            [
                (x - 0.03, 0.62),
                (x - 0.035 + lean, 0.86),
                (x + side * 0.03 + lean, 0.96),
                (x + 0.045 + lean, 0.84),
            ],
            (250, 190, 200),
            outlined=False,
        )
    pen.ellipse(0.33, 0.12, 0.11, 0.11, t.light)
    pen.blob([(-0.28, 0.0), (0.28, 0.0), (0.33, 0.18), (0.18, 0.44), (-0.18, 0.44), (-0.33, 0.18)], t.main)
    pen.ellipse(0, 0.17, 0.16, 0.15, t.light, outlined=False)
    pen.ellipse(0, 0.5, 0.26, 0.2, t.main)
    for side in (-1, 1):
        _eye(pen, side * 0.11, 0.54, 0.06)
        pen.ellipse(side * 0.13, 0.02, 0.11, 0.05, t.light)
    pen.ellipse(0, 0.44, 0.04, 0.03, (236, 120, 140), outlined=False)
    pen.box(-0.04, 0.33, 0.04, 0.4, (255, 255, 255), outlined=False)


def fox(pen: Pen, rng: np.random.Generator) -> None:
    """Sits in profile, looking left, with a pointed muzzle and a huge tail with a pale tip."""
    t, lift = pen.tones, rng.uniform(-0.03, 0.04)
    pen.blob(
        [
            (0.2, 0.02),
            (0.5, 0.0),
            (0.74, 0.2),
            (0.74, 0.5 + lift),
            (0.6, 0.72 + lift),
            (0.5, 0.46),
            (0.36, 0.26),
        ],
        t.main,
    )
    pen.blob(
        [
            (0.6, 0.73 + lift),
            (0.54, 0.58 + lift),
            (0.64, 0.52 + lift),
            (0.75, 0.5 + lift),
            (0.72, 0.64 + lift),
        ],
        CREAM,
    )
    pen.blob([(-0.24, 0.0), (0.34, 0.0), (0.36, 0.26), (0.14, 0.52), (-0.14, 0.6), (-0.26, 0.42)], t.main)
    pen.blob([(-0.25, 0.06), (-0.12, 0.1), (-0.1, 0.44), (-0.24, 0.48)], CREAM, outlined=False)
    pen.shape([(-0.32, 0.84), (-0.3, 1.06), (-0.14, 0.9)], t.dark)
    pen.shape([(-0.1, 0.88), (0.02, 1.08), (0.1, 0.82)], t.dark)
    pen.blob([(-0.78, 0.58), (-0.4, 0.9), (-0.06, 0.94), (0.12, 0.76), (-0.02, 0.56), (-0.36, 0.5)], t.main)
    pen.blob([(-0.76, 0.58), (-0.46, 0.68), (-0.16, 0.58), (-0.36, 0.51)], CREAM, outlined=False)
    pen.ellipse(-0.77, 0.59, 0.05, 0.045, INK, outlined=False)
    _eye(pen, -0.28, 0.75, 0.055)
    pen.stroke([(-0.16, 0.0), (-0.14, 0.2)], 0.07, t.deep)


def bear(pen: Pen, rng: np.random.Generator) -> None:
    """Sits facing the viewer: round ears, a wide body, a pale muzzle."""
    t, w = pen.tones, rng.uniform(0.36, 0.4)
    for side in (-1, 1):
        pen.ellipse(side * 0.25, 0.92, 0.11, 0.11, t.main)
        pen.ellipse(side * 0.25, 0.92, 0.055, 0.055, t.light, outlined=False)
        pen.ellipse(side * w, 0.1, 0.17, 0.13, t.dark)
    pen.blob([(-w, 0.04), (w, 0.04), (w + 0.05, 0.3), (0.26, 0.6), (-0.26, 0.6), (-w - 0.05, 0.3)], t.main)
    pen.ellipse(0, 0.27, 0.22, 0.2, t.light, outlined=False)
    for side in (-1, 1):
        pen.blob(
            [(side * 0.26, 0.54), (side * (w + 0.1), 0.42), (side * (w + 0.08), 0.22), (side * 0.28, 0.3)],
            t.dark,
        )
        pen.ellipse(side * w, 0.09, 0.09, 0.07, t.light, outlined=False)
    pen.ellipse(0, 0.75, 0.33, 0.25, t.main)
    pen.ellipse(0, 0.67, 0.14, 0.11, CREAM, outlined=False)
    pen.ellipse(0, 0.72, 0.06, 0.045, INK, outlined=False)
    for side in (-1, 1):
        _eye(pen, side * 0.15, 0.81, 0.05)


def horse(pen: Pen, rng: np.random.Generator) -> None:
    """Stands in profile, looking left, with a long neck, a mane and a falling tail."""
    t, step = pen.tones, rng.uniform(-0.04, 0.04)
    mane = WOOD if t.main[0] > 150 else CREAM
    pen.blob([(0.44, 0.6), (0.62, 0.54), (0.66, 0.24), (0.56, 0.12), (0.52, 0.38)], mane)
    for x in (-0.2, 0.3):
        pen.shape(
            [(x + 0.06 + step, 0.02), (x + 0.15 + step, 0.02), (x + 0.18, 0.4), (x + 0.04, 0.4)], t.dark
        )
    pen.blob(
        [(-0.36, 0.56), (0.1, 0.62), (0.46, 0.66), (0.54, 0.46), (0.4, 0.34), (-0.1, 0.32), (-0.36, 0.38)],
        t.main,
    )
    for x in (-0.33, 0.34):
        pen.shape([(x - step, 0), (x + 0.11 - step, 0), (x + 0.15, 0.42), (x - 0.01, 0.42)], t.main)
        pen.box(x - step, 0, x + 0.11 - step, 0.06, INK, outlined=False)
    pen.shape([(-0.4, 0.42), (-0.08, 0.58), (-0.3, 0.96), (-0.5, 0.92)], t.main)
    pen.shape([(-0.34, 0.94), (-0.28, 1.06), (-0.2, 0.92)], t.dark)
    pen.blob([(-0.36, 0.98), (-0.52, 0.9), (-0.76, 0.68), (-0.68, 0.58), (-0.48, 0.7), (-0.3, 0.82)], t.main)
    pen.blob([(-0.36, 1.0), (-0.24, 0.98), (-0.1, 0.76), (0.0, 0.58), (-0.14, 0.56), (-0.26, 0.78)], mane)
    _eye(pen, -0.47, 0.85, 0.05)
    pen.ellipse(-0.7, 0.65, 0.03, 0.03, t.deep, outlined=False)


def elephant(pen: Pen, rng: np.random.Generator) -> None:
    """Stands in profile, looking left: a great ear, a hanging trunk, a tusk."""
    t, curl = pen.tones, rng.uniform(-0.05, 0.05)
    pen.stroke(smooth_open([(0.6, 0.6), (0.7, 0.46), (0.68, 0.34)]), 0.04, t.dark, outlined=True)
    for x in (-0.12, 0.3):
        pen.box(x + 0.02, 0.02, x + 0.18, 0.3, t.dark)
    pen.blob(
        [(-0.34, 0.7), (0.0, 0.92), (0.42, 0.88), (0.66, 0.6), (0.58, 0.28), (0.0, 0.24), (-0.34, 0.4)],
        t.main,
    )
    for x in (-0.3, 0.4):
        pen.shape([(x, 0), (x + 0.2, 0), (x + 0.2, 0.4), (x, 0.4)], t.main)
        pen.box(x + 0.02, 0.0, x + 0.18, 0.05, CREAM, outlined=False)
    trunk = [(-0.6, 0.66), (-0.76, 0.42), (-0.74, 0.18), (-0.88 - curl, 0.1)]
    pen.stroke(smooth_open(trunk), 0.14, t.main, outlined=True)
    pen.ellipse(-0.42, 0.7, 0.28, 0.25, t.main)
    pen.shape([(-0.56, 0.5), (-0.52, 0.42), (-0.74, 0.34)], (255, 252, 240))
    pen.blob([(-0.3, 0.86), (-0.06, 0.96), (0.12, 0.74), (0.02, 0.44), (-0.18, 0.42), (-0.28, 0.6)], t.dark)
    pen.blob(
        [(-0.2, 0.8), (-0.06, 0.86), (0.04, 0.7), (-0.04, 0.52), (-0.16, 0.54)],
        (246, 178, 190),
        outlined=False,
    )
    _eye(pen, -0.5, 0.76, 0.045)


def dragon(pen: Pen, rng: np.random.Generator) -> None:
    """Sits looking left: bat's wings, spines along the back, a pale belly, a tail with a point."""
    t, spread = pen.tones, rng.uniform(-0.03, 0.04)
    pen.stroke(
        smooth_open([(0.2, 0.08), (0.52, 0.02), (0.72, 0.14), (0.7, 0.32)]), 0.11, t.main, outlined=True
    )
    pen.shape([(0.6, 0.28), (0.82, 0.3), (0.7, 0.48)], t.dark)
    wing = [
        (0.06, 0.5),
        (0.3, 0.98 + spread),
        (0.48, 0.84),
        (0.78, 0.92 + spread),
        (0.66, 0.68),
        (0.76, 0.52),
        (0.48, 0.52),
        (0.34, 0.36),
    ]
    pen.shape(wing, t.dark)
    pen.stroke([(0.08, 0.5), (0.46, 0.84)], 0.03, t.deep)
    pen.stroke([(0.14, 0.46), (0.64, 0.68)], 0.03, t.deep)
    pen.blob(
        [
            (-0.22, 0.0),
            (0.28, 0.0),
            (0.36, 0.2),
            (0.16, 0.52),
            (0.0, 0.78),
            (-0.24, 0.74),
            (-0.2, 0.46),
            (-0.3, 0.2),
        ],
        t.main,
    )
    pen.blob(
        [(-0.24, 0.04), (-0.04, 0.04), (0.0, 0.24), (-0.1, 0.52), (-0.19, 0.46), (-0.27, 0.2)],
        (252, 226, 150),
        outlined=False,
    )
    for x, y in ((0.05, 0.84), (0.1, 0.68), (0.18, 0.54)):
        pen.shape([(x - 0.04, y - 0.08), (x + 0.14, y + 0.06), (x + 0.05, y - 0.14)], t.deep)
    pen.blob(
        [
            (-0.7, 0.68),
            (-0.68, 0.8),
            (-0.4, 0.86),
            (-0.24, 0.98),
            (0.0, 0.94),
            (0.06, 0.76),
            (-0.14, 0.64),
            (-0.5, 0.62),
        ],
        t.main,
    )
    for x in (-0.16, -0.02):
        pen.shape([(x - 0.05, 0.94), (x + 0.05, 0.94), (x + 0.1, 1.1)], CREAM)
    _eye(pen, -0.26, 0.86, 0.055)
    pen.ellipse(-0.63, 0.75, 0.025, 0.025, t.deep, outlined=False)
    for x in (-0.18, 0.06):
        pen.ellipse(x, 0.03, 0.12, 0.05, t.dark)
