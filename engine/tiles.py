"""How a picture is cut into tiles to be enlarged, and so how many steps that takes. Plain arithmetic, known to both planes."""

from __future__ import annotations

import math

TILE, OVERLAP = 128, 32
"""Of the picture that is enlarged, in pixels."""
TILES_PER_STEP = 4
"""Of one picture."""
SCALES = (2, 4, 8, 16)
"""How many times as large a request may ask for."""
MAX_SIDE = 4096
"""Pixels of an enlarged picture: at four bytes a colour, 200 MB while it is made."""


def tile_steps(width: int, height: int, scale: int, factor: int = 4) -> int:
    """Steps until a picture of so many pixels is `scale` times as large, by a network that enlarges `factor` times."""
    steps = 0
    for times in enlargements(scale, factor):
        steps += math.ceil(len(tile_starts(width)) * len(tile_starts(height)) / TILES_PER_STEP)
        width, height = times * width, times * height
    return steps


def enlargements(scale: int, factor: int) -> tuple[int, ...]:
    """How many times as large the picture is after each run of the network.

    What the last run makes too large is scaled down tile by tile, where that goes without remainder; else the last number
    is what the network says, and the whole is scaled down in the end.
    """
    runs = 1
    while factor**runs < scale:
        runs += 1
    too_large, rest = divmod(factor**runs, scale)
    last = factor if rest or factor % too_large else factor // too_large
    return (*(runs - 1) * (factor,), last)


def tile_starts(length: int) -> list[int]:
    """Where tiles begin along one side: evenly spread, overlapping by OVERLAP at least."""
    if length <= TILE:
        return [0]
    count = math.ceil((length - OVERLAP) / (TILE - OVERLAP))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]
