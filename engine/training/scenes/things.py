"""Things of the house."""

from __future__ import annotations

import math

import numpy as np

from engine.training.scenes.palette import WOOD
from engine.training.scenes.pen import Pen, arc


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
