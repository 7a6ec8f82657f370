"""Animals that swim, fly or crawl."""

from __future__ import annotations

import numpy as np

from engine.training.scenes.palette import INK
from engine.training.scenes.pen import Pen


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
