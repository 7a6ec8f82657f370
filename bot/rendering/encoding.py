"""PNG, WebP and JPEG with the generation parameters inside, stepping down until an upload limit is met."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
SMALLEST_SIDE = 64
"""Below this a picture is not worth sending; the last encoding is returned whatever its size."""


@dataclass(frozen=True)
class EncodedFile:
    """One file ready to be uploaded."""

    name: str
    data: bytes


def encode_png(pixels: npt.NDArray[np.uint8], parameters: str) -> bytes:
    """RGB pixels (H, W, 3) as a PNG whose text chunk `parameters` is the one that A1111's tools read."""
    return _png(Image.fromarray(pixels), parameters)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a stored picture in pixels."""
    with Image.open(path) as image:
        return image.size


def encode_as(image: Image.Image, parameters: str, suffix: str) -> bytes:
    """One picture in the format that a file's ending names.

    Raises:
        KeyError: an ending that is not in ENCODERS.
    """
    return ENCODERS[suffix](image, parameters)


def encode_to_fit(image: Image.Image, parameters: str, limit_bytes: int, stem: str) -> EncodedFile:
    """The best encoding of `image` within `limit_bytes`: PNG, then WebP, then JPEG, then smaller JPEGs."""
    encoded = None
    for suffix, encode in _encodings(image):
        encoded = EncodedFile(f"{stem}.{suffix}", encode(parameters))
        if len(encoded.data) <= limit_bytes:
            break
    assert encoded is not None
    return encoded


def _encodings(image: Image.Image) -> Iterator[tuple[str, Callable[[str], bytes]]]:
    yield "png", partial(_png, image)
    yield "webp", partial(_webp, image, 92)
    yield "webp", partial(_webp, image, 80)
    yield "jpg", partial(_jpeg, image, 80)
    while min(image.size) > SMALLEST_SIDE:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
        yield "jpg", partial(_jpeg, image, 80)


def _png(image: Image.Image, parameters: str) -> bytes:
    info = PngInfo()
    info.add_text("parameters", parameters)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _webp(image: Image.Image, quality: int, parameters: str) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, method=4, exif=_exif(parameters))
    return out.getvalue()


def _jpeg(image: Image.Image, quality: int, parameters: str) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True, exif=_exif(parameters))
    return out.getvalue()


def _exif(parameters: str) -> Image.Exif:
    """The text in EXIF's UserComment, which says its own character code first (EXIF 2.32, 4.6.5)."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\x00" + parameters.encode("utf-16-be")
    return exif


ENCODERS: dict[str, Callable[[Image.Image, str], bytes]] = {
    ".png": _png,
    ".webp": lambda image, parameters: _webp(image, 92, parameters),
    ".jpg": lambda image, parameters: _jpeg(image, 92, parameters),
    ".jpeg": lambda image, parameters: _jpeg(image, 92, parameters),
}
"""File ending → encoder, for files that people name themselves."""
