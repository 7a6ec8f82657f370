"""Attachments under signed, expiring URLs, and plain avatars."""

from __future__ import annotations

import asyncio
import io
from functools import lru_cache

from aiohttp import web
from PIL import Image, ImageDraw

from bot.playground.services import Services

_AVATAR_COLORS = ("#5b6cff", "#7a7f8c", "#3ba675", "#e0a13f", "#d9534f", "#d1587f")

_SHOWN_INLINE = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""Everything else is only ever downloaded: a text or drawing with a script in it must not run beside the page."""


def add_routes(router: web.UrlDispatcher, services: Services) -> None:
    async def attachment(request: web.Request) -> web.Response:
        expires, issued, signature = (request.query.get(name, "") for name in ("ex", "is", "hm"))
        found = services.state.attachments.get(request.match_info["attachment_id"])
        if found is None or not services.attachments.is_valid(
            request.rel_url.raw_path, expires, issued, signature
        ):
            return web.Response(status=404, text="This content is no longer available.")
        content = await services.state.store.read_file(found.id)
        if content is None:
            return web.Response(status=404, text="This content is no longer available.")
        inline = found.content_type in _SHOWN_INLINE
        return web.Response(
            body=content,
            content_type=(found.content_type or "application/octet-stream")
            if inline
            else "application/octet-stream",
            headers={
                "Content-Disposition": f'{"inline" if inline else "attachment"}; filename="{found.filename}"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, max-age=3600",
            },
        )

    async def avatar(request: web.Request) -> web.Response:
        name = request.match_info["name"].partition(".")[0]
        user = services.state.users.get(name)
        color = (
            user.color if user is not None else _AVATAR_COLORS[int(name[-1]) % 6 if name.isdecimal() else 0]
        )
        return web.Response(
            body=await asyncio.to_thread(_disc, color),
            content_type="image/png",
            headers={"Cache-Control": "max-age=86400"},
        )

    for kind in ("attachments", "ephemeral-attachments"):
        router.add_get(f"/cdn/{kind}/{{channel_id}}/{{attachment_id}}/{{filename}}", attachment)
    router.add_get("/cdn/embed/avatars/{name}", avatar)
    router.add_get("/cdn/avatars/{name}", avatar)


@lru_cache(maxsize=64)
def _disc(color: str) -> bytes:
    image = Image.new("RGB", (256, 256), color)
    draw = ImageDraw.Draw(image)
    draw.ellipse((84, 50, 172, 138), fill="white")
    draw.ellipse((44, 154, 212, 322), fill="white")
    buffer = io.BytesIO()
    image.resize((128, 128), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()
