"""The pictures that are posted: a grid of cells, one cell alone, or the contact sheet of /history."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from bot.rendering.encoding import EncodedFile, encode_to_fit
from bot.rendering.layout import columns_and_rows, place, sheet_size

CELL_SIDE = 256
"""The shorter side of a grid's cell is at least this many pixels: pictures of a small model must be seen."""
SINGLE_SIDE = 512
"""The same for a picture that stands alone: as large as the grid it came from."""
GUTTER = 4
BACKGROUND = (24, 25, 28)
THUMBNAIL = 192


def compose_grid(paths: Sequence[Path], *, in_row: bool = False) -> Image.Image:
    """The stored pictures side by side, four as 2×2 unless all stand `in_row`; all have the size of the first."""
    cells = [_enlarged(_opened(path), CELL_SIDE) for path in paths]
    return _sheet(cells, cells[0].size, GUTTER, columns=len(cells) if in_row else None)


def grid_file(
    paths: Sequence[Path], parameters: str, limit_bytes: int, *, in_row: bool = False
) -> EncodedFile:
    """The grid as a file of at most `limit_bytes`, with `parameters` in the format's own metadata field."""
    return encode_to_fit(compose_grid(paths, in_row=in_row), parameters, limit_bytes, "grid")


def single_file(path: Path, parameters: str, limit_bytes: int) -> EncodedFile:
    """One picture as a file; the stored PNG itself where it is large enough to be looked at and fits."""
    image = _opened(path)
    if min(image.size) >= SINGLE_SIDE and path.stat().st_size <= limit_bytes:
        return EncodedFile("picture.png", path.read_bytes())
    return encode_to_fit(_enlarged(image, SINGLE_SIDE), parameters, limit_bytes, "picture")


def contact_sheet(paths: Sequence[Path]) -> bytes:
    """Thumbnails three to a row in the order given, as a JPEG; each fits its square whole.

    A picture that cannot be read leaves its square empty: the others must still be found.
    """
    sheet = _sheet(
        [_thumbnail(path) for path in paths],
        (THUMBNAIL, THUMBNAIL),
        GUTTER,
        columns=min(3, max(1, len(paths))),
    )
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=85)
    return out.getvalue()


def _thumbnail(path: Path) -> Image.Image:
    cell = Image.new("RGB", (THUMBNAIL, THUMBNAIL), BACKGROUND)
    with suppress(OSError):
        image = _enlarged(_opened(path), THUMBNAIL)
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        cell.paste(image, ((THUMBNAIL - image.width) // 2, (THUMBNAIL - image.height) // 2))
    return cell


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _enlarged(image: Image.Image, side: int) -> Image.Image:
    """By a whole factor, so that every pixel is treated alike; a large enough picture is left as it is."""
    factor = math.ceil(side / min(image.size))
    if factor == 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)


def _sheet(
    cells: Sequence[Image.Image], size: tuple[int, int], gutter: int, columns: int | None = None
) -> Image.Image:
    width, height = size
    if columns is None:
        columns, rows = columns_and_rows(len(cells), width, height)
    else:
        rows = max(1, math.ceil(len(cells) / columns))
    sheet = Image.new("RGB", sheet_size(columns, rows, width, height, gutter), BACKGROUND)
    for index, cell in enumerate(cells):
        fitted = cell if cell.size == size else cell.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(fitted, place(index, columns, width, height, gutter))
    return sheet
