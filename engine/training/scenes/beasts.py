"""Animals that walk."""

from __future__ import annotations

import numpy as np

from engine.training.scenes.palette import INK
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
