"""One process of services around the hand-driven engine, which can be killed and started again on the same files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest

from bot.database import JobRepository, open_database
from bot.domain import Action, Asker, Destination, Job, JobState, JobUpdate, Order
from bot.errors import UserError
from bot.image_store import ImageStore
from bot.services import HistoryService, JobService, Limits
from bot.texts import say
from engine import ModelInfo
from tests.bot.services.hand_driven_engine import HandDrivenEngine, small

ADA = Asker(user_id=1, user_name="Ada", guild_id=10, channel_id=100)
BOB = Asker(user_id=2, user_name="Bob", guild_id=10, channel_id=100)
MODERATOR = Asker(user_id=3, user_name="Mo", guild_id=10, channel_id=100, may_manage=True)


class Bench:
    """What a test holds. `updates` keeps every update that delivery would have seen, per job."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder = folder
        self.limits = limits or Limits()
        self.image_store = ImageStore(folder / "pictures")
        self.updates: dict[UUID, list[JobUpdate]] = {}
        self.resumed = 0
        self._sources = count(1)
        self._moved = asyncio.Event()
        self._time = datetime(2026, 1, 1, tzinfo=UTC)

    @asynccontextmanager
    async def process(self, *models: ModelInfo, kill: bool = True) -> AsyncIterator[Bench]:
        """From a start to a kill: nothing that a clean end would write is written."""
        async with open_database(self.folder / "fourfold.db", self.image_store.path) as database:
            self.engine = HandDrivenEngine(*(models or (small(),)), moved=self._moved.set)
            self.repository = JobRepository(database)
            self.history = HistoryService(database)
            self.jobs = JobService(
                engine=self.engine,
                database=database,
                image_store=self.image_store,
                limits=self.limits,
                now=self.now,
            )
            reader = asyncio.create_task(self._read())
            self.resumed = await self.jobs.resume()
            try:
                yield self
            finally:
                await self.jobs.close()
                await reader

    def go_on_from(self, before: Bench) -> None:
        """Time and sources do not begin anew when a process does."""
        self._time, self._sources = before._time, before._sources

    def now(self) -> datetime:
        """A clock that moves on by a second each time it is read."""
        self._time += timedelta(seconds=1)
        return self._time

    def source(self) -> str:
        return f"{next(self._sources)}:0"

    async def order(self, asker: Asker = ADA, prompt: str | None = "a cat", **order: object) -> Job:
        """Create and show a job, as an edge does."""
        order.setdefault("action", Action.IMAGINE)
        order.setdefault("source", self.source())
        job = await self.jobs.create(asker, Order(prompt=prompt, **order))  # type: ignore[arg-type]  # any field of Order
        await self.jobs.shown(job.id, Destination(channel_id=asker.channel_id, message_id=1000))
        return job

    async def sent(self, job: Job) -> None:
        """Wait until the job is at the engine."""
        await self.until(lambda: job.id.hex in self.engine.streams)

    async def made(self, asker: Asker = ADA, prompt: str = "a cat", **order: object) -> Job:
        """A job that has run and was posted."""
        job = await self.order(asker, prompt, **order)
        await self.sent(job)
        self.engine.run(job.id.hex)
        await self.reaches(job, JobState.POSTING)
        await self.jobs.posted(job.id, channel_id=asker.channel_id, message_id=2000)
        return await self.jobs.get(job.id)

    async def reaches(self, job: Job, state: JobState) -> JobUpdate:
        """Wait until delivery was told of the state; returns its update."""
        await self.until(lambda: any(update.state is state for update in self.updates.get(job.id, [])))
        return next(update for update in reversed(self.updates[job.id]) if update.state is state)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something holds that changes with an update or at the engine."""
        async with asyncio.timeout(20):
            while not happened():
                self._moved.clear()
                await self._moved.wait()

    async def settled(self) -> None:
        """Wait until no job is followed any more; the engine must have ended them."""
        async with asyncio.timeout(20):
            await asyncio.gather(
                *(task for task in asyncio.all_tasks() if task.get_name().startswith("job "))
            )

    async def state(self, job: Job) -> JobState:
        return (await self.jobs.get(job.id)).state

    async def _read(self) -> None:
        with suppress(asyncio.CancelledError):
            async for update in self.jobs.updates():
                self.updates.setdefault(update.job_id, []).append(update)
                self._moved.set()


async def refused(awaitable: Awaitable[object]) -> UserError:
    """The error that this ends in, whose sentence can be said."""
    with pytest.raises(UserError) as caught:
        await awaitable
    say(f"error.{caught.value.code}", **caught.value.values)
    return caught.value
