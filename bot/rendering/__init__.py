"""Pillow only: how pictures are laid out, enlarged and encoded. Pure functions; callers run them in threads.

grid.py       the picture that is posted: a grid, one cell alone, or the contact sheet of /history
preview.py    the small JPEG shown while pictures are being made
encoding.py   PNG, WebP and JPEG with the generation parameters inside, fitted to an upload limit
layout.py     how many columns and rows n cells take
"""

from __future__ import annotations

from bot.rendering.encoding import ENCODERS, EncodedFile, encode_as, encode_png, picture_size
from bot.rendering.grid import compose_grid, contact_sheet, grid_file, single_file
from bot.rendering.preview import compose_preview, smaller_preview

__all__ = [
    "ENCODERS",
    "EncodedFile",
    "compose_grid",
    "compose_preview",
    "contact_sheet",
    "encode_as",
    "encode_png",
    "grid_file",
    "picture_size",
    "single_file",
    "smaller_preview",
]
