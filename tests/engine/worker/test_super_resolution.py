"""Enlarging in tiles: what comes out is what the network makes of the whole picture, and no seam is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.tiles import TILE, tile_starts
from engine.worker.super_resolution import CompactUpscaler, Tiling, upscale
from tests.engine.tiny_upscaler import smooth, tiny_network, write_tiny_upscaler


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (TILE, TILE), (TILE + 1, 40), (300, 200)])
def test_any_size_is_enlarged(size: tuple[int, int]) -> None:
    assert upscale(tiny_network(), smooth(*size)).shape == (3, 4 * size[0], 4 * size[1])


def test_one_tile_is_what_the_network_says() -> None:
    picture, network = smooth(60, 90), tiny_network()
    with torch.inference_mode():
        assert torch.equal(upscale(network, picture), network(picture[None])[0].clamp(0, 1))


def test_tiles_agree_with_the_whole_picture() -> None:
    """The network sees four pixels far, and where tiles miss what lies beyond them they hardly count."""
    picture, network = smooth(260, 300), tiny_network()
    with torch.inference_mode():
        whole = network(picture[None])[0].clamp(0, 1)
    torch.testing.assert_close(upscale(network, picture), whole, atol=1e-4, rtol=1e-4)


def test_no_seam_is_seen() -> None:
    """Beyond the network's own pattern, the picture is no steeper across the edges of tiles than elsewhere."""
    picture, network = smooth(200, 260), tiny_network()
    with torch.inference_mode():
        whole = network(picture[None])[0].clamp(0, 1)
    tiled = upscale(network, picture)
    off = (tiled - whole).diff(dim=2).abs().amax(dim=(0, 1))
    starts = tile_starts(260)
    edges = {4 * x - 1 for start in starts[1:] for x in (start, start + 12, start + 20)}
    edges |= {4 * (start + TILE) - 1 for start in starts[:-1]}
    steepness = tiled.diff(dim=2).abs().amax(dim=(0, 1))
    at_seams, inside = max(float(steepness[x]) for x in edges), float(steepness.max())
    assert at_seams <= inside
    assert float(off.max()) < 1 / 255 / 10, "not a tenth of a step that a picture can show"


def test_how_many_tiles_share_a_call_changes_nothing() -> None:
    picture, network = smooth(200, 300), tiny_network(scale=2)
    torch.testing.assert_close(upscale(network, picture, rows=1), upscale(network, picture, rows=64))


@pytest.mark.parametrize(("height", "width", "times"), [(1, 1, 4), (200, 300, 2), (129, 40, 4)])
def test_weights_of_all_tiles_add_up(height: int, width: int, times: int) -> None:
    tiling = Tiling(torch.zeros(1, 3, height, width), times)
    sums = tiling.blank()
    for index in range(tiling.count):
        tile = torch.ones(1, 3, *(times * side for side in tiling.shape))
        place, weighted = tiling.weighted(tile, index)
        sums[place] += weighted
    torch.testing.assert_close(sums, torch.ones_like(sums))
    torch.testing.assert_close(tiling.covered(tiling.count, (9, 5)), torch.ones(9, 5))
    assert not tiling.covered(0, (9, 5)).any()


def test_saved_weights_come_back(tmp_path: Path) -> None:
    picture = smooth(20, 20)
    loaded = CompactUpscaler.load(write_tiny_upscaler(tmp_path))
    assert torch.equal(upscale(loaded, picture), upscale(tiny_network(), picture))


def test_half_precision_keeps_the_picture(tmp_path: Path) -> None:
    """What is added is rounded, the picture is not."""
    picture = smooth(40, 40)
    halved = CompactUpscaler.load(write_tiny_upscaler(tmp_path), torch.bfloat16)
    ours, exact = upscale(halved, picture), upscale(tiny_network(), picture)
    assert ours.dtype == torch.float32
    assert float((ours - exact).abs().max()) < 1 / 255
