"""Sheets: many pictures side by side in one PNG, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def save_sheet(pictures: Sequence[npt.NDArray[np.uint8]], columns: int, file: Path) -> None:
    """Lay out (h, w, 3) pictures row by row; cells are as large as the largest picture."""
    height, width = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 255, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + 2), (i % columns) * (width + 2)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(file)
