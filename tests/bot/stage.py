"""The real client and the real delivery on the local stand-in, in this process, for tests of what people see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import discord
import numpy as np
import yarl

from bot.client import FourfoldClient, use_origin
from bot.database import open_database
from bot.delivery import Delivery, Remarks
from bot.delivery.pacing import Clock
from bot.downloads import Downloads
from bot.image_store import ImageStore
from bot.playground import Playground
from bot.services import Limits, Services, make_services
from engine import (
    Engine,
    EngineStats,
    FinishReason,
    GenerateRequest,
    ImageReady,
    ModelInfo,
    OutputStream,
    Progress,
    Queued,
    RequestOutput,
    Safety,
)
from tests.bot.examples import MODEL


async def _no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


IMPATIENT = Clock(sleep=_no_wait)
"""Edits follow each other at once."""


@asynccontextmanager
async def discord_at(origin: str) -> AsyncIterator[None]:
    """discord.py speaks to `origin` inside the block, and as before after it."""
    base, gateway = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    assets = discord.asset.Asset.BASE
    use_origin(origin, allow_remote=False)
    try:
        yield
    finally:
        discord.http.Route.BASE = base
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        discord.asset.Asset.BASE = assets


@asynccontextmanager
async def bot_online(
    playground: Playground, services: Services, clock: Clock | None = None
) -> AsyncIterator[FourfoldClient]:
    """A bot process's life: log in, reconcile, resume, serve; at the end everything is closed."""
    async with discord_at(playground.origin):
        client = FourfoldClient(services, guild_ready_timeout=0.0)
        delivery = Delivery(client, services, clock=clock)
        delivering: list[asyncio.Task[None]] = []

        async def catch_up() -> None:
            await delivery.reconcile()
            delivering.append(asyncio.create_task(delivery.run()))
            await services.jobs.resume()

        serving = asyncio.create_task(client.serve(playground.bot_token, catch_up))
        ready = asyncio.create_task(_ready(client))
        try:
            await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            yield client
        finally:
            ready.cancel()
            await services.jobs.close()
            await asyncio.gather(*delivering)
            await client.close()
            await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def bot_at(
    playground: Playground,
    home: Path,
    engine: Engine,
    *,
    clock: Clock | None = None,
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> AsyncIterator[FourfoldClient]:
    """The whole bot on its database and pictures in `home`, with `engine` behind it."""
    image_store = ImageStore(home / "pictures")
    async with open_database(home / "fourfold.db", image_store.path) as database:
        services = make_services(
            engine=engine,
            database=database,
            image_store=image_store,
            limits=limits,
            downloads=Downloads(playground.origin),
        )
        async with bot_online(playground, services, clock) as client:
            remarking = asyncio.create_task(Remarks(client, services).run())
            services.embeddings.start()
            try:
                yield client
            finally:
                await services.embeddings.close()
                remarking.cancel()


async def _ready(client: FourfoldClient) -> None:
    online = asyncio.Event()

    async def on_ready() -> None:
        online.set()

    client.on_ready = on_ready  # type: ignore[method-assign]
    await online.wait()


SMALL_MODEL = replace(MODEL, native_width=64, native_height=64, min_side=16, max_side=256)


class ScriptedEngine:
    """Behind the engine's front door, pictures that come when the test says so: noise of a colour of the seed's own."""

    def __init__(self, model: ModelInfo = SMALL_MODEL) -> None:
        self.model = model
        self.requests: list[GenerateRequest] = []
        self.aborted: list[str] = []
        self._streams: dict[str, OutputStream] = {}
        self._arrived = asyncio.Event()

    def submit(self, request: GenerateRequest) -> OutputStream:
        stream = OutputStream(request.request_id)
        self.requests.append(request)
        self._streams[request.request_id] = stream
        stream.put(Queued(position=len(self._streams), eta=40.0))
        self._arrived.set()
        return stream

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)
        self._end(request_id, RequestOutput(request_id=request_id, finish_reason=FinishReason.ABORTED))

    def models(self) -> tuple[ModelInfo, ...]:
        return (self.model,)

    def stats(self) -> EngineStats:
        return EngineStats(
            waiting=0, running=len(self._streams), seconds_per_row_step=0.1, device="test device"
        )

    async def request(self, number: int = 1) -> GenerateRequest:
        """The n-th request, as soon as it is submitted."""
        while len(self.requests) < number:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests[number - 1]

    def progress(self, request: GenerateRequest, step: int, steps: int = 20) -> None:
        preview = np.full((16, 16, 3), 120, dtype=np.uint8)
        self._streams[request.request_id].put(Progress(step, steps, tuple(preview for _ in request.seeds)))

    def finish(self, request: GenerateRequest, **output: object) -> None:
        width, height = request.params.width, request.params.height
        for index, seed in enumerate(request.seeds):
            colour = np.array((seed % 191, seed % 181, seed % 179))
            noise = np.random.default_rng(seed).integers(0, 64, (height, width, 3))
            pixels = (colour + noise).astype(np.uint8)
            self._streams[request.request_id].put(ImageReady(index, pixels, Safety.UNCHECKED))
        self._end(
            request.request_id,
            RequestOutput(
                request_id=request.request_id,
                finish_reason=FinishReason.COMPLETED,
                device_seconds=1.5,
                **output,  # type: ignore[arg-type]
            ),
        )

    def fail(self, request: GenerateRequest, error: object) -> None:
        self._end(
            request.request_id,
            RequestOutput(
                request_id=request.request_id,
                finish_reason=FinishReason.FAILED,
                error=error,  # type: ignore[arg-type]
            ),
        )

    def _end(self, request_id: str, output: RequestOutput) -> None:
        stream = self._streams.pop(request_id, None)
        if stream is not None:
            stream.put(output)
