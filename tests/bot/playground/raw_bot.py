"""A bot without a library: raw REST calls and raw gateway frames, to see what the stand-in really answers."""

from __future__ import annotations

import asyncio
import io
import json
from types import TracebackType
from typing import Any, Self

import aiohttp
from PIL import Image

from bot.playground import Playground

Json = dict[str, Any]


def png(width: int = 8, height: int = 8, color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


class Reply:
    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> int:
        return self.body["code"]

    def error(self, *path: str | int) -> str:
        """The code of the first error at this path of a 50035 answer."""
        assert (self.status, self.code) == (400, 50035), (self.status, self.content)
        node = self.body["errors"]
        for step in path:
            node = node[str(step)]
        return node["_errors"][0]["code"]


class RawBot:
    """`async with` connects and identifies unless `connect` is false."""

    def __init__(self, playground: Playground, *, connect: bool = True, intents: int = 1) -> None:
        self._playground = playground
        self._connect = connect
        self._intents = intents
        self._session = aiohttp.ClientSession()
        self.ws: aiohttp.ClientWebSocketResponse | None = None
        self.ready: Json = {}
        self.application_id = ""

    async def __aenter__(self) -> Self:
        self.application_id = (await self.call("GET", "/users/@me")).body["id"]
        if self._connect:
            await self.open()
            await self.identify()
            self.ready = (await self.event("READY"))["d"]
            await self.event("GUILD_CREATE")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ws is not None:
            await self.ws.close()
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        files: dict[str, bytes] | None = None,
        token: str | None = None,
        host: str | None = None,
    ) -> Reply:
        headers = {"Authorization": f"Bot {self._playground.bot_token if token is None else token}"}
        if host is not None:
            headers["Host"] = host
        data: Any = None
        if files is not None:
            data = aiohttp.FormData(quote_fields=False)
            data.add_field("payload_json", json.dumps(body or {}))
            for index, (name, content) in enumerate(files.items()):
                data.add_field(
                    f"files[{index}]", content, filename=name, content_type="application/octet-stream"
                )
        elif body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        url = f"{self._playground.origin}/api/v10{path}"
        async with self._session.request(method, url, data=data, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def fetch(self, url: str) -> Reply:
        async with self._session.get(url) as response:
            return Reply(response.status, response.headers, await response.read())

    async def open(self, query: str = "") -> Json:
        """Connect to the gateway; returns HELLO."""
        self.ws = await self._session.ws_connect(
            self._playground.origin.replace("http", "ws") + "/gateway" + query
        )
        return await self.frame() if not query else {}

    async def identify(self, **changes: Any) -> None:
        data = {"token": self._playground.bot_token, "intents": self._intents, "properties": {}, **changes}
        await self.send(2, data)

    async def send(self, op: int, data: Any) -> None:
        assert self.ws is not None
        await self.ws.send_json({"op": op, "d": data})

    async def frame(self) -> Json:
        assert self.ws is not None
        message = await asyncio.wait_for(self.ws.receive(), 10)
        assert message.type is aiohttp.WSMsgType.TEXT, (message.type, message.data)
        return json.loads(message.data)

    async def event(self, name: str) -> Json:
        """The next dispatch of this name, with `s` and `d`; others are passed over."""
        while (frame := await self.frame()).get("t") != name:
            pass
        return frame

    async def interaction(self) -> Json:
        return (await self.event("INTERACTION_CREATE"))["d"]

    async def close_code(self) -> int | None:
        assert self.ws is not None
        while not self.ws.closed:
            await asyncio.wait_for(self.ws.receive(), 10)
        return self.ws.close_code

    async def respond(
        self, interaction: Json, kind: int, data: Any = None, *, files: dict[str, bytes] | None = None
    ) -> Reply:
        path = f"/interactions/{interaction['id']}/{interaction['token']}/callback?with_response=1"
        return await self.call("POST", path, {"type": kind, "data": data or {}}, files=files)

    def webhook(self, interaction: Json, rest: str = "") -> str:
        return f"/webhooks/{self.application_id}/{interaction['token']}{rest}"

    async def put_commands(self, commands: list[Json], guild_id: str | None = None) -> Reply:
        where = f"/guilds/{guild_id}" if guild_id else ""
        return await self.call("PUT", f"/applications/{self.application_id}{where}/commands", commands)
