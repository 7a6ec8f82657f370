"""Textures that several media are made of, and what a picture is while a medium works on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Picture = npt.NDArray[np.floating[Any]]  # (height, width, 3), 0 to 1
Mask = npt.NDArray[np.floating[Any]]  # (height, width), 0 to 1


def grain(subject: Mask) -> int:
    """How many pixels of this picture are one of a picture whose shorter side is 128."""
    return max(1, min(subject.shape) // 128)


def noise(rng: np.random.Generator, width: int, height: int, cell: int) -> Mask:
    """Smooth noise between -1 and 1 whose features are about `cell` pixels wide."""
    grid = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def blur(picture: Picture, radius: float) -> Picture:
    image = Image.fromarray((picture * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def vivid(picture: Picture, share: float) -> Picture:
    """Colours moved away from grey by `share` of their distance to it."""
    richer: Picture = np.clip(picture + share * (picture - picture.mean(axis=2, keepdims=True)), 0, 1)
    return richer


def brightness(picture: Picture) -> Picture:
    """(height, width, 1): how light each pixel looks."""
    return (picture @ np.array([0.3, 0.59, 0.11], dtype=np.float32))[..., None]
