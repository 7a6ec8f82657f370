"""The small JPEG shown while pictures are being made: blurred at first, sharper with every step."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from bot.rendering.layout import columns_and_rows, place, sheet_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_SIDE = 512
MAX_BYTES = 100_000
GUTTER = 2
BACKGROUND = (24, 25, 28)
PLACEHOLDER_TOP = (43, 45, 52)
PLACEHOLDER_BOTTOM = (33, 34, 40)


def compose_preview(
    cells: Sequence[npt.NDArray[np.uint8] | None], *, width: int, height: int, in_row: bool = False
) -> bytes:
    """A JPEG of at most 512 px and 100 kB in the layout of the final grid.

    Args:
        cells: one RGB array (h, w, 3) of any size per picture, or None for a picture that has not begun.
        width, height: the size in pixels that the finished pictures will have; only its ratio matters here.
        in_row: all beside each other.
    """
    columns, rows = columns_and_rows(len(cells), width, height, in_row=in_row)
    scale = min(
        (MAX_SIDE - (columns - 1) * GUTTER) / (columns * width),
        (MAX_SIDE - (rows - 1) * GUTTER) / (rows * height),
    )
    size = max(1, int(width * scale)), max(1, int(height * scale))
    sheet = Image.new("RGB", sheet_size(columns, rows, *size, GUTTER), BACKGROUND)
    for index, pixels in enumerate(cells):
        cell = _placeholder(size) if pixels is None else _enlarged(pixels, size)
        sheet.paste(cell, place(index, columns, *size, GUTTER))
    return _jpeg(sheet)


def smaller_preview(preview: bytes) -> bytes:
    """The same at half the width and height, for a place that refused it as too large."""
    with Image.open(io.BytesIO(preview)) as image:
        return _jpeg(image.resize((max(1, image.width // 2), max(1, image.height // 2))))


def _enlarged(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """A thumbnail of the latents becomes a soft picture instead of a mosaic; a finished one stays sharp."""
    image = Image.fromarray(pixels)
    factor = size[0] / image.width
    enlarged = image.resize(size, Image.Resampling.BICUBIC if factor > 2 else Image.Resampling.LANCZOS)
    return enlarged.filter(ImageFilter.GaussianBlur(factor / 3)) if factor > 2 else enlarged


@lru_cache(maxsize=16)
def _placeholder(size: tuple[int, int]) -> Image.Image:
    """A calm, slightly lit surface where a picture will be. Cached and only ever pasted from."""
    light = Image.linear_gradient("L").resize(size)
    return Image.composite(
        Image.new("RGB", size, PLACEHOLDER_BOTTOM), Image.new("RGB", size, PLACEHOLDER_TOP), light
    )


def _jpeg(sheet: Image.Image) -> bytes:
    for quality in (82, 70, 55, 40):
        out = io.BytesIO()
        sheet.save(out, "JPEG", quality=quality)
        if out.tell() <= MAX_BYTES:
            break
    return out.getvalue()
