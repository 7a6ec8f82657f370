"""How pictures are cut, and the steps that are foretold of it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tiles import OVERLAP, SCALES, TILE, TILES_PER_STEP, enlargements, tile_starts, tile_steps


@given(st.integers(1, 5_000))
def test_tiles_cover_everything_and_overlap(length: int) -> None:
    starts = tile_starts(length)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - TILE)
    assert all(0 < b - a <= TILE - OVERLAP for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("scale", "factor", "runs"),
    [
        (2, 4, (2,)),
        (4, 4, (4,)),
        (8, 4, (4, 2)),
        (16, 4, (4, 4)),
        (4, 2, (2, 2)),
        (16, 8, (8, 2)),
        (2, 8, (2,)),
        (4, 3, (3, 3)),
    ],
)
def test_runs_of_the_network(scale: int, factor: int, runs: tuple[int, ...]) -> None:
    assert enlargements(scale, factor) == runs


@given(st.sampled_from(SCALES), st.integers(2, 8))
def test_runs_reach_the_scale_with_none_too_many(scale: int, factor: int) -> None:
    runs = enlargements(scale, factor)
    assert math.prod(runs) >= scale
    assert math.prod(runs[:-1]) < scale
    assert all(factor % times == 0 for times in runs), "tiles are scaled down without remainder"


@pytest.mark.parametrize(
    ("width", "height", "scale", "tiles"),
    [
        (128, 128, 4, [1]),
        (64, 64, 16, [1, 9]),
        (1, 1, 16, [1, 1]),
        (512, 256, 4, [15]),
        (512, 256, 2, [15]),
        (128, 128, 8, [1, 25]),
    ],
)
def test_steps(width: int, height: int, scale: int, tiles: list[int]) -> None:
    assert tile_steps(width, height, scale) == sum(-(-count // TILES_PER_STEP) for count in tiles)
