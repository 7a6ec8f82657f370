from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.rendering import compose_grid, compose_preview, contact_sheet, encode_png, grid_file, single_file
from bot.rendering.layout import columns_and_rows

PARAMETERS = "a red sailboat, “quoted”, 帆船\nNegative prompt: rain\nSteps: 20, Seed: 7"


def pixels(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path: Path):
    def store(count: int, width: int = 64, height: int = 64) -> list[Path]:
        paths = [tmp_path / f"{index}.png" for index in range(count)]
        for index, path in enumerate(paths):
            path.write_bytes(encode_png(pixels(width, height, index), PARAMETERS))
        return paths

    return store


def user_comment(image: Image.Image) -> str:
    comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\x00")
    return comment[8:].decode("utf-16-be")


def test_a_png_holds_the_pixels_and_the_parameters():
    source = pixels(24, 16)
    image = Image.open(io.BytesIO(encode_png(source, PARAMETERS)))
    assert np.array_equal(np.asarray(image), source)
    assert image.text["parameters"] == PARAMETERS


@pytest.mark.parametrize(
    ("count", "width", "height", "expected"),
    [
        (4, 64, 64, (516, 516)),
        (4, 128, 64, (1028, 516)),
        (4, 300, 600, (604, 1204)),
        (1, 64, 64, (256, 256)),
        (2, 64, 64, (516, 256)),
        (2, 128, 64, (512, 516)),
        (3, 64, 64, (516, 516)),
        (3, 64, 128, (776, 512)),
        (3, 128, 64, (512, 776)),
    ],
)
def test_cells_are_at_least_256_px_and_laid_out_sensibly(stored, count, width, height, expected):
    assert compose_grid(stored(count, width, height)).size == expected


def test_cells_keep_their_reading_order(stored, tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    paths = [tmp_path / f"c{index}.png" for index in range(4)]
    for path, colour in zip(paths, colours, strict=True):
        path.write_bytes(encode_png(np.full((64, 64, 3), colour, dtype=np.uint8), ""))
    grid = compose_grid(paths)
    assert [grid.getpixel(at) for at in [(128, 128), (388, 128), (128, 388), (388, 388)]] == colours


def test_four_are_always_two_by_two():
    assert columns_and_rows(4, 16, 9) == columns_and_rows(4, 1, 3) == (2, 2)


def test_the_best_format_that_fits_is_taken_and_each_carries_the_parameters(stored):
    paths = stored(4)
    png = grid_file(paths, PARAMETERS, 10_000_000)
    webp = grid_file(paths, PARAMETERS, len(png.data) - 1)
    jpeg = grid_file(paths, PARAMETERS, 30_000)
    assert [file.name for file in (png, webp, jpeg)] == ["grid.png", "grid.webp", "grid.jpg"]
    assert len(jpeg.data) <= 30_000
    assert Image.open(io.BytesIO(png.data)).text["parameters"] == PARAMETERS
    assert user_comment(Image.open(io.BytesIO(webp.data))) == PARAMETERS
    assert user_comment(Image.open(io.BytesIO(jpeg.data))) == PARAMETERS


def test_a_limit_that_nothing_meets_gives_the_smallest(stored):
    file = grid_file(stored(4), PARAMETERS, 1)
    assert file.name == "grid.jpg"
    assert min(Image.open(io.BytesIO(file.data)).size) <= 64


def test_a_small_single_is_enlarged_and_a_large_one_is_the_stored_file(stored):
    small = stored(1)[0]
    assert Image.open(io.BytesIO(single_file(small, PARAMETERS, 10_000_000).data)).size == (512, 512)
    large = stored(1, 512, 640)[0]
    assert single_file(large, "other", 10_000_000).data == large.read_bytes()
    assert single_file(large, PARAMETERS, 300_000).name == "picture.webp"


@given(
    count=st.integers(1, 4),
    ratio=st.sampled_from([(1, 1), (16, 9), (9, 16), (3, 1), (1, 3)]),
    begun=st.integers(0, 4),
    side=st.sampled_from([8, 16, 64, 512]),
)
def test_previews_are_small(count, ratio, begun, side):
    cells = [pixels(side, side, index) if index < begun else None for index in range(count)]
    preview = compose_preview(cells, width=64 * ratio[0], height=64 * ratio[1])
    image = Image.open(io.BytesIO(preview))
    assert image.format == "JPEG"
    assert max(image.size) <= 512
    assert len(preview) < 100_000


def test_a_preview_of_few_pixels_is_soft_and_a_finished_picture_sharp():
    board = np.indices((16, 16)).sum(axis=0) % 2 * 255
    coarse = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    sharp = coarse.repeat(32, axis=0).repeat(32, axis=1)

    def steepest(cell: np.ndarray) -> int:
        image = np.asarray(Image.open(io.BytesIO(compose_preview([cell], width=64, height=64))).convert("L"))
        return int(np.abs(np.diff(image.astype(int), axis=1)).max())

    assert steepest(sharp) > 150
    assert steepest(coarse) < 60


def test_the_contact_sheet_shows_each_picture(stored):
    sheet = Image.open(io.BytesIO(contact_sheet(stored(4, 64, 128))))
    assert sheet.size == (3 * 192 + 8, 2 * 192 + 4)


def test_a_contact_sheet_without_one_of_its_pictures_still_shows_the_others(stored):
    paths = stored(3)
    whole = Image.open(io.BytesIO(contact_sheet(paths)))
    paths[1].unlink()
    paths[2].write_bytes(b"not a picture")
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(paths))))
    assert sheet.shape == np.asarray(whole).shape
    assert sheet[:, :192].std() > 10
    assert sheet[:, 200:].std() < 10
