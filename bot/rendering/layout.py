"""How many columns and rows n cells take."""

from __future__ import annotations

import math

GAP_COST = 0.4
"""What an empty cell costs against a less square sheet, in units of log aspect ratio: three squares get a
gap, three portraits stand in a row."""


def columns_and_rows(
    count: int, cell_width: int, cell_height: int, *, in_row: bool = False
) -> tuple[int, int]:
    """The grid for `count` equal cells. Four are always 2×2: U1–U4 name their places; a path stands in one row."""
    if in_row:
        return count, 1
    if count == 4:
        return 2, 2
    shapes = [(columns, math.ceil(count / columns)) for columns in range(count, 0, -1)]

    def cost(shape: tuple[int, int]) -> float:
        columns, rows = shape
        aspect = columns * cell_width / (rows * cell_height)
        return abs(math.log(aspect)) + GAP_COST * (columns * rows - count)

    return min(shapes, key=cost)


def place(index: int, columns: int, cell_width: int, cell_height: int, gutter: int) -> tuple[int, int]:
    """The upper left corner of cell `index` in pixels."""
    row, column = divmod(index, columns)
    return column * (cell_width + gutter), row * (cell_height + gutter)


def sheet_size(columns: int, rows: int, cell_width: int, cell_height: int, gutter: int) -> tuple[int, int]:
    """Width and height in pixels of the whole sheet; gutters only between cells."""
    return columns * cell_width + (columns - 1) * gutter, rows * cell_height + (rows - 1) * gutter
