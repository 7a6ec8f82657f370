"""What jobs say, as a test dictates it; delivery and the real discord.py do the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from bot.delivery.pacing import Clock
from bot.domain import Destination, Job, JobState, JobUpdate, StoredImage
from bot.errors import UserError
from bot.playground import Playground, UserSession
from bot.services import Limits
from bot.services.update_feed import UpdateFeed
from tests.bot.examples import JOB, MODEL


class ScriptedJobs:
    """What delivery asks of jobs, with a record of what it was told."""

    limits = Limits()

    def __init__(self) -> None:
        self.rows: dict[UUID, Job] = {}
        self.told: list[tuple[Any, ...]] = []
        self.dropped_tokens: list[UUID] = []
        self.closed_jobs: list[UUID] = []
        self.feed = UpdateFeed()
        self.destinations: asyncio.Queue[Destination] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def create(self, asker, order) -> Job:
        job = replace(JOB, owner_id=asker.user_id, guild_id=asker.guild_id)
        job = replace(job, destination=Destination(channel_id=asker.channel_id))
        self.rows[job.id] = job
        return job

    async def shown(self, job_id: UUID, destination: Destination) -> None:
        self.rows[job_id] = replace(self.rows[job_id], destination=destination)
        self.destinations.put_nowait(destination)

    async def get(self, job_id: UUID) -> Job:
        if job_id not in self.rows:
            raise UserError("job_gone")
        return self.rows[job_id]

    def updates(self) -> AsyncIterator[JobUpdate]:
        return self.feed.read()

    async def posted(self, job_id: UUID, *, channel_id: int, message_id: int) -> None:
        self.rows[job_id] = replace(
            self.rows[job_id],
            state=JobState.DONE,
            result_channel_id=channel_id,
            result_message_id=message_id,
        )
        self._tell("posted", job_id, channel_id, message_id)

    async def not_postable(self, job_id: UUID, error: UserError) -> None:
        self.rows[job_id] = replace(
            self.rows[job_id],
            state=JobState.DONE,
            error_code=error.code,
        )
        self._tell("not_postable", job_id, error.code)

    async def drop_token(self, job_id: UUID) -> None:
        self.dropped_tokens.append(job_id)

    async def posting_jobs(self) -> tuple[Job, ...]:
        return tuple(job for job in self.rows.values() if job.state is JobState.POSTING)

    async def closed(self, job_id: UUID) -> None:
        self.closed_jobs.append(job_id)
        self._changed.set()

    async def unclosed_jobs(self) -> tuple[Job, ...]:
        return ()

    async def resume(self) -> int:
        return 0

    async def close(self) -> None:
        self.feed.close()

    def models(self):
        return (MODEL,)

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        self._changed.set()

    async def until_told(self) -> tuple[Any, ...]:
        while not self.told:
            self._changed.clear()
            await self._changed.wait()
        return self.told[-1]

    async def until_closed(self) -> None:
        while not self.closed_jobs:
            self._changed.clear()
            await self._changed.wait()

    def say(self, state: JobState, job: Job = JOB, **fields: Any) -> None:
        self.rows[job.id] = replace(self.rows[job.id], state=state)
        self.feed.put(JobUpdate(job_id=job.id, state=state, **fields))


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


class TestClock:
    """Wall time moves when told; waiting between edits takes no time."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.slept: list[float] = []
        self.hold = False
        """Whoever waits now waits for ever."""
        self._held = asyncio.Event()

    def clock(self) -> Clock:
        return Clock(wall=lambda: (datetime.now(UTC) + self.ahead).timestamp(), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.hold:
            self._held.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def until_held(self) -> None:
        await self._held.wait()


async def imagine(user: UserSession, jobs: ScriptedJobs) -> Destination:
    await user.slash("imagine", prompt="a cat")
    return await jobs.destinations.get()


def finished(jobs: ScriptedJobs, images: tuple[StoredImage, ...]) -> None:
    jobs.rows[JOB.id] = replace(jobs.rows[JOB.id], images=images)
    jobs.say(JobState.POSTING, images=images)


def preview() -> bytes:
    from bot.rendering import compose_preview

    return compose_preview([np.zeros((8, 8, 3), dtype=np.uint8)] * 4, width=64, height=64)


def recorded(playground: Playground) -> list[str]:
    """Method and path of every request from now on."""
    requests: list[str] = []
    playground.observe(lambda exchange: requests.append(f"{exchange.method} {exchange.path}"))
    return requests


def edits(requests: list[str]) -> list[str]:
    return [request for request in requests if request.startswith("PATCH")]
