"""How alike two pictures are."""

from __future__ import annotations

import math

import numpy as np
import torch


def ssim(one: np.ndarray, other: np.ndarray, window: int = 7) -> float:
    """Mean structural similarity of two uint8 RGB pictures over uniform windows (Wang et al. 2004)."""
    x, y = (torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None] for pixels in (one, other))

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(values, window, stride=1)

    mean_x, mean_y = mean(x), mean(y)
    spread_x, spread_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    together = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * together + c2)
    return float((likeness / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))).mean())


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
