"""The art styles: how layers are laid over each other and what the medium does to the finished picture.

Strokes, dots and blocks are as large beside the picture at any size: twice as many pixels at 256 as at 128.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from engine.training.scenes import paints, prints
from engine.training.scenes.texture import Mask, Picture


@dataclass(frozen=True, slots=True)
class Medium:
    """`outline` is a contour's width in picture pixels at 128; `finish` works on the finished picture."""

    finish: Callable[[Picture, Mask, np.random.Generator], Picture]
    flat: bool = False
    outline: float = 0.0
    ink: bool = False  # black contours around everything instead of a darker shade around the subject
    shadows: bool = False  # every layer casts a shadow on what lies behind


MEDIA: dict[str, Medium] = {
    "watercolor": Medium(paints.watercolor, outline=0.8),
    "oil": Medium(paints.oil, outline=0.7),
    "pixel": Medium(prints.pixel),
    "comic": Medium(prints.comic, flat=True, outline=2.0, ink=True),
    "paper": Medium(prints.paper, flat=True, shadows=True),
    "pencil": Medium(paints.pencil, outline=1.0),
    "glass": Medium(prints.glass, flat=True, outline=1.6, ink=True),
    "points": Medium(paints.points),
    "woodcut": Medium(prints.woodcut, outline=1.4, ink=True),
    "flat": Medium(prints.flat, flat=True),
}


def cast_shadow(canvas: Image.Image, mask: Image.Image, reach: float) -> None:
    """Darken `canvas` below and right of `mask`, as a sheet of card lying on it would."""
    shift = max(1, round(reach))
    fallen = Image.new("L", mask.size, 0)
    fallen.paste(mask, (shift, shift))
    small = (
        fallen.reduce(2).filter(ImageFilter.BoxBlur(reach / 2)).point([round(v * 0.42) for v in range(256)])
    )
    canvas.paste((20, 14, 40), (0, 0), small.resize(mask.size, Image.Resampling.BILINEAR))


def grown(mask: Image.Image, reach: float) -> Image.Image:
    """The mask widened by about `reach` pixels: blur and threshold, many times faster than a rank filter."""
    return mask.filter(ImageFilter.BoxBlur(reach)).point([min(255, v * 6) for v in range(256)])
