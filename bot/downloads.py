"""Fetches the pictures that users send, and makes plain PNGs of them: bounded in bytes, pixels and time."""

from __future__ import annotations

import asyncio
import io
import warnings
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bot.domain import Upload
from bot.errors import UserError

MAX_BYTES = 25_000_000
MAX_PIXELS = 25_000_000
"""Told by a file's header, before anything of it is decoded: a hundred kilobytes can claim to be a billion pixels."""
STORED_SIDE = 2048
"""Pixels of the longer side that are kept; no model sees more."""
SECONDS = 30.0
_DISCORD = frozenset({"https://cdn.discordapp.com", "https://media.discordapp.net"})
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_PIECE = 64 * 1024


def check_upload(upload: Upload) -> None:
    """What can be said of an attachment before it is fetched. Raises UserError."""
    if upload.size > MAX_BYTES:
        raise UserError(
            "upload_too_large", name=upload.name, got=f"{upload.size / 1e6:.0f}", maximum=MAX_BYTES // 10**6
        )
    kind = upload.content_type or ""
    if kind and (not kind.startswith("image/") or kind.startswith("image/svg")):
        raise UserError("upload_not_a_picture", name=upload.name)


@dataclass(frozen=True)
class Downloads:
    """Attachments alone, and only from where Discord keeps them."""

    origin: str | None = None
    """Another Discord-compatible server that the bot serves, whose attachments lie there as well."""

    async def picture(self, url: str) -> bytes:
        """The picture behind an attachment's address as an RGB PNG: turned upright, its first frame, transparent parts white.

        Raises:
            UserError: the address is none of Discord's, nothing is there or comes in time, or it is no picture that can be
                read within the bounds.
        """
        return await asyncio.to_thread(plain_png, await self._fetch(url))

    async def _fetch(self, url: str) -> bytes:
        parts = urlsplit(url)
        allowed = _DISCORD if self.origin is None else _DISCORD | {self.origin.rstrip("/")}
        if f"{parts.scheme}://{parts.netloc}" not in allowed:
            raise UserError("upload_elsewhere")
        found = bytearray()
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as http_session,
                # A redirect would lead to where nobody has looked.
                http_session.get(url, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise UserError("upload_gone", status=response.status)
                async for piece in response.content.iter_chunked(_PIECE):
                    found += piece
                    if len(found) > MAX_BYTES:
                        raise UserError(
                            "upload_too_large",
                            name=parts.path.rpartition("/")[2],
                            got=f"over {MAX_BYTES // 10**6}",
                            maximum=MAX_BYTES // 10**6,
                        )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UserError("upload_unreachable") from error
        return bytes(found)


def plain_png(data: bytes) -> bytes:
    """Raises UserError `upload_unreadable` or `upload_too_many_pixels`."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if image.width * image.height > MAX_PIXELS:
                raise _too_many_pixels(f"{image.width} × {image.height}")
            upright = ImageOps.exif_transpose(_in_eight_bits(image))
            upright.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            _opaque(upright).save(out, "PNG")
            return out.getvalue()
    except Image.DecompressionBombError as error:
        raise _too_many_pixels("far more") from error
    # Pillow's readers tell of damage in all of these ways.
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, IndexError, EOFError) as error:
        raise UserError("upload_unreadable") from error


def _too_many_pixels(got: str) -> UserError:
    return UserError("upload_too_many_pixels", got=got, maximum=MAX_PIXELS // 10**6)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits, which Pillow would cut off at 255 instead of scaling."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    coloured = image.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured).convert("RGB")
