"""Pictures from outside: what is taken, how it comes out, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bot.downloads import STORED_SIDE, Downloads, plain_png
from bot.errors import UserError
from bot.texts import say


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(plain_png(data)))


def test_every_kind_comes_out_as_rgb() -> None:
    red = Image.new("RGB", (8, 6), "red")
    for data in (
        encoded(red.convert("CMYK"), "JPEG"),
        encoded(red, "WEBP"),
        encoded(red.convert("P"), "GIF"),
    ):
        assert (read(data).mode, read(data).size) == ("RGB", (8, 6))
    grey = Image.fromarray(np.full((6, 8), 32768, dtype=np.uint16))
    assert read(encoded(grey, "PNG")).getpixel((0, 0)) == (128, 128, 128)
    assert read(encoded(Image.new("RGBA", (8, 6), (0, 0, 0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)
    moving = encoded(red, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 6), "blue")])
    assert read(moving).getpixel((0, 0)) == (255, 0, 0)
    assert max(read(encoded(Image.new("L", (3000, 100)), "PNG")).size) == STORED_SIDE


def test_a_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(encoded(Image.new("RGB", (8, 6)), "JPEG", exif=exif)).size == (6, 8)


def claiming(width: int, height: int) -> bytes:
    """A small PNG whose header says that it is large."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + head
        + struct.pack(">I", zlib.crc32(head))
        + struct.pack(">I", 50)
        + b"IDAT"
        + bytes(50)
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (claiming(30000, 30000), "upload_too_many_pixels"),
        (claiming(6000, 6000), "upload_too_many_pixels"),
        (claiming(60, 60), "upload_unreadable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "upload_unreadable"),
        (b"", "upload_unreadable"),
        (encoded(Image.effect_noise((300, 300), 90), "JPEG")[:900], "upload_unreadable"),
    ],
)
def test_what_cannot_be_read_within_bounds_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(UserError) as refusal:
        plain_png(data)
    assert refusal.value.code == code
    say(f"error.{code}", **refusal.value.values)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/cdn/a.png",
        "https://cdn.discordapp.com.evil.example/a.png",
        "https://cdn.discordapp.com@127.0.0.1/a.png",
        "http://cdn.discordapp.com/a.png",
        "file:///etc/passwd",
        "",
    ],
)
async def test_only_discords_own_files_are_fetched(url: str) -> None:
    with pytest.raises(UserError) as refusal:
        await Downloads().picture(url)
    assert refusal.value.code == "upload_elsewhere"
