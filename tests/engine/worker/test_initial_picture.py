"""What a request begins with: scaled and turned as people see it, and refused in words where it is no picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import GenerationFailed
from engine.worker.initial_picture import read_initial_picture
from tests.engine.bench import make_request
from tests.engine.tiny import SIDE

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def file_of(format_: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    target = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(
        target, format_, **({"exif": exif} if format_ in ("PNG", "JPEG", "WEBP") else {})
    )
    return target.getvalue()


FILES = {format_: file_of(format_) for format_ in FORMATS}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(format_=st.sampled_from(FORMATS), data=st.data())
def test_a_damaged_file_is_read_or_refused_in_words(
    tmp_path: Path, format_: str, data: st.DataObject
) -> None:
    """Cut short, or with some bytes changed: whatever Pillow stumbles over."""
    content = bytearray(FILES[format_])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "picture"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        picture = read_initial_picture(make_request("model", init_image=path))
    except GenerationFailed as error:
        said = error.code, str(error)
    else:
        assert picture is not None
        assert picture.pixels.shape == (SIDE, SIDE, 3)
        return
    assert said[0] == "picture_unreadable"
    assert "Send it again as PNG, JPEG or WebP" in said[1]


@pytest.mark.parametrize("format_", FORMATS)
def test_half_a_file_is_no_picture(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "half"
    path.write_bytes(FILES[format_][: len(FILES[format_]) // 2])
    with pytest.raises(GenerationFailed, match="initial picture half cannot be read"):
        read_initial_picture(make_request("model", init_image=path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b.png", "initial picture a�b.png cannot be read: no file's name can hold a NUL. Send it again"),
        ("a\ud800\nb.png", "initial picture a��b.png cannot be read: "),
        ("x" * 3000 + ".png", f"initial picture {'x' * 96}.png cannot be read: "),
        ("gone.png", "initial picture gone.png cannot be read: No such file or directory. Send it again"),
    ],
)
def test_a_name_that_no_file_has_can_be_read_in_the_error(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(GenerationFailed) as caught:
        read_initial_picture(make_request("model", init_image=tmp_path / name))
    assert caught.value.code == "picture_unreadable"
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(tmp_path) not in str(caught.value)


def test_it_is_turned_scaled_and_made_rgb(tmp_path: Path) -> None:
    upright = Image.new("RGBA", (2 * SIDE, 4 * SIDE), "red")
    upright.paste((0, 0, 255, 255), (0, 2 * SIDE, 2 * SIDE, 4 * SIDE))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    picture = read_initial_picture(make_request("model", init_image=tmp_path / "turned.png", height=2 * SIDE))
    assert picture is not None
    assert picture.mask is None
    assert picture.pixels.shape == (2 * SIDE, SIDE, 3)
    assert picture.pixels[2, 2].tolist() == [255, 0, 0]
    assert picture.pixels[-2, 2].tolist() == [0, 0, 255]


def test_a_request_of_words_alone_begins_with_none() -> None:
    assert read_initial_picture(make_request("model")) is None
