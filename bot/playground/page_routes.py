"""The page's routes: its key, its files, uploads, and the socket of every open tab."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from aiohttp import web

from bot.playground.attachments import UploadedFile
from bot.playground.errors import DiscordError
from bot.playground.events import Event
from bot.playground.page_socket import Tab
from bot.playground.services import Services

FILES = Path(__file__).parent / "page"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Page:
    """Whoever has the key commands as any member, so every route asks for its cookie and refuses other origins."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tabs: set[Tab] = set()
        services.events.subscribe(self._on_event)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self._open)
        router.add_get("/page/socket", self._socket)
        router.add_post("/page/upload", self._upload)
        router.add_get("/page/{path:.+}", self._file)

    async def close(self) -> None:
        for tab in list(self._tabs):
            await tab.ws.close(code=1001, message=b"Going away")

    async def _open(self, request: web.Request) -> web.StreamResponse:
        if request.url.host != "127.0.0.1":
            # Attachments and the cookie belong to one name of this machine.
            return web.Response(
                status=307, headers={"Location": str(request.url.with_host("127.0.0.1")), **_HEADERS}
            )
        key = request.query.get("key")
        if key is not None and self._is_key(key):
            response = web.Response(status=303, headers={"Location": "/", **_HEADERS})
            response.set_cookie(
                _cookie(request), key, httponly=True, samesite="Strict", max_age=365 * 86400, path="/"
            )
            return response
        self._check(request)
        return await self._send_file(request, "index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        return await self._send_file(request, request.match_info["path"])

    async def _upload(self, request: web.Request) -> web.Response:
        self._check(request)
        limit = self._services.rendering.upload_limit()
        too_large = web.json_response(
            {"message": f"Files here may have up to {limit / (1 << 20):g} MiB."}, status=413
        )
        if (request.content_length or 0) > limit + (1 << 16):
            return too_large
        try:
            # Its length may come with the chunks only.
            form = await request.clone(client_max_size=limit + (1 << 16)).post()
        except web.HTTPRequestEntityTooLarge:
            return too_large
        except ValueError as error:
            return web.json_response({"message": f"This upload cannot be read: {error}"}, status=400)
        field = form.get("file")
        if not isinstance(field, web.FileField):
            return web.json_response({"message": "Send one multipart field named file."}, status=400)
        # aiohttp keeps it in a file on the disk.
        file = UploadedFile(field.filename, await asyncio.to_thread(field.file.read))
        try:
            uploaded = await self._services.members.upload(self._services.state.people[0].id, file)
        except DiscordError:
            return too_large
        await self._services.state.store.flush()
        return web.json_response(uploaded)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._check(request, origin_needed=True)
        ws = web.WebSocketResponse(heartbeat=30, max_msg_size=1 << 20)
        await ws.prepare(request)
        tab = Tab(self._services, ws)
        self._tabs.add(tab)
        try:
            await tab.converse()
        finally:
            self._tabs.discard(tab)
        return ws

    def _check(self, request: web.Request, *, origin_needed: bool = False) -> None:
        if not self._is_key(request.cookies.get(_cookie(request), "")):
            raise web.HTTPForbidden(
                text="Open the address that `fourfold play` printed: it holds the key to this page."
            )
        origin = request.headers.get("Origin")
        if origin != f"http://{request.host}" and (origin is not None or origin_needed):
            raise web.HTTPForbidden(text="This page answers only to itself.")

    def _is_key(self, given: str) -> bool:
        # A header's raw bytes arrive as surrogates, which plain UTF-8 cannot hold.
        found = given.encode("utf-8", "surrogateescape")
        return secrets.compare_digest(found, self._services.state.secrets.page_key.encode())

    @staticmethod
    async def _send_file(request: web.Request, name: str) -> web.StreamResponse:
        path = await asyncio.to_thread(_find_file, name)
        if path is None:
            raise web.HTTPNotFound(text="There is no such file.")
        policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        policy += f"connect-src 'self' ws://{request.host}; "
        policy += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return web.FileResponse(path, headers={"Content-Security-Policy": policy, **_HEADERS})

    def _on_event(self, event: Event) -> None:
        for tab in self._tabs:
            tab.show(event)


def _find_file(name: str) -> Path | None:
    try:
        path = (FILES / name).resolve()
        return path if path.is_relative_to(FILES.resolve()) and path.is_file() else None
    except (OSError, ValueError):  # Too long for a name, or a null byte in it.
        return None


def _cookie(request: web.Request) -> str:
    # Cookies are shared by all ports of a host, so two playgrounds side by side need two names.
    return f"fourfold_key_{request.url.port}"
