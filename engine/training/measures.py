"""What can be said of many pictures besides what they show: sharpness, diversity, distance from real ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def sharpness(pictures: Sequence[Pixels]) -> float:
    """Mean variance of the Laplacian of brightness, 0 to 255 scale: higher is crisper."""
    values = []
    for picture in pictures:
        grey = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float32)
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        values.append(float((around - 4 * grey[1:-1, 1:-1]).var()))
    return float(np.mean(values)) if values else 0.0


def spread(pictures: Sequence[Pixels]) -> float:
    """Mean RMS difference (0 to 255) between any two of the pictures."""
    pairs = itertools.combinations([picture.astype(np.float32) for picture in pictures], 2)
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs]))


def frechet_distance(some: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> float:
    """Between the Gaussians of two sets of features, (n, width) each (Heusel et al. 2017): 0 where mean and covariance are
    the same.
    """
    means = some.mean(axis=0) - others.mean(axis=0)
    a, b = np.cov(some, rowvar=False), np.cov(others, rowvar=False)
    # The trace of the root of a product is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = np.sqrt(np.clip(np.linalg.eigvals(a @ b).real, 0, None))
    return float(means @ means + np.trace(a) + np.trace(b) - 2 * roots.sum())
