"""Files of messages and uploads: what they are (read from their bytes), where they lie, their signed URLs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import mimetypes
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from PIL import Image, UnidentifiedImageError

from bot.playground.state import Attachment, State

URL_LIFETIME = 24 * 3600
"""Seconds until a signed URL stops working. Discord promises no value; about a day is what is seen."""

LINGER = 60.0
"""Seconds for which a replaced or deleted file can still be fetched: a page may be in the middle of loading it."""

_PICTURES = ("PNG", "JPEG", "GIF", "WEBP", "AVIF")

_UNSAFE = re.compile(r"[^\w.\-]", re.ASCII)


@dataclass(frozen=True)
class UploadedFile:
    filename: str
    content: bytes


class Attachments:
    def __init__(self, state: State) -> None:
        self._state = state
        self.origin = ""
        """"http://127.0.0.1:PORT", set once the server listens."""

    async def add(
        self,
        file: UploadedFile,
        *,
        channel_id: str | None,
        ephemeral: bool = False,
        description: str | None = None,
    ) -> Attachment:
        content_type, width, height = await asyncio.to_thread(sniff, file)
        attachment = Attachment(
            id=self._state.snowflakes.next(),
            channel_id=channel_id,
            filename=_UNSAFE.sub("_", file.filename)[:260] or "file",
            size=len(file.content),
            content_type=content_type,
            width=width,
            height=height,
            description=description,
            ephemeral=ephemeral,
        )
        await self._state.store.write_file(attachment.id, file.content)
        return self._state.attachments.put(attachment)

    def discard(self, attachment_id: str) -> None:
        """Forget an attachment at once and its bytes a little later."""

        def forget() -> None:
            self._state.attachments.delete(attachment_id)
            self._state.store.delete_file(attachment_id)

        self._state.timers.later(LINGER, forget)
        if attachment := self._state.attachments.get(attachment_id):
            attachment.message_id = None
            self._state.attachments.put(attachment)

    def url(self, attachment: Attachment) -> str:
        """A fresh absolute URL, good for about a day; the same one within an hour, so that pages can cache the picture."""
        issued = int(self._state.clock.now()) // 3600 * 3600
        expires, issued_hex = f"{issued + URL_LIFETIME:x}", f"{issued:x}"
        kind = "ephemeral-attachments" if attachment.ephemeral else "attachments"
        path = f"/cdn/{kind}/{attachment.channel_id or 0}/{attachment.id}/{quote(attachment.filename)}"
        return f"{self.origin}{path}?ex={expires}&is={issued_hex}&hm={self._signature(path, expires, issued_hex)}&"

    def is_valid(self, path: str, expires: str, issued: str, signature: str) -> bool:
        try:
            alive = int(expires, 16) > self._state.clock.now()
        except ValueError:
            return False
        return alive and hmac.compare_digest(
            signature.encode(), self._signature(path, expires, issued).encode()
        )

    def from_url(self, url: str) -> Attachment | None:
        """The attachment one of our own URLs shows, whether or not it has expired."""
        if not url.startswith(f"{self.origin}/cdn/"):
            return None
        steps = urlsplit(url).path.split("/")
        return self._state.attachments.get(steps[4]) if len(steps) == 6 else None

    def _signature(self, path: str, expires: str, issued: str) -> str:
        key = bytes.fromhex(self._state.secrets.signing_key)
        return hmac.new(key, f"{path}?{expires}&{issued}".encode(), hashlib.sha256).hexdigest()


def sniff(file: UploadedFile) -> tuple[str | None, int | None, int | None]:
    """Content type, width and height from the bytes; only the header is decoded, so a huge picture costs nothing.

    Only formats that browsers draw are looked into: readers of the rarer ones are the ones that can be tricked.
    discord.py names every file application/octet-stream, so what the upload claims is of no use.
    """
    try:
        with Image.open(io.BytesIO(file.content), formats=_PICTURES) as image:
            # Phones write JPEGs with a second picture behind the first, which everything but Pillow calls JPEG.
            kind = "JPEG" if image.format == "MPO" else image.format
            return Image.MIME.get(kind or ""), image.width, image.height
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return mimetypes.guess_type(file.filename)[0], None, None
