"""Reads what jobs say and shows it on Discord."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import discord

from bot.delivery.closing import show_end
from bot.delivery.follower import Follower
from bot.delivery.pacing import Clock, Pacer
from bot.delivery.poster import Poster
from bot.delivery.progress_message import ProgressMessage
from bot.domain import Job, JobState
from bot.errors import UserError
from bot.services import Services

log = logging.getLogger(__name__)

LAST_POSTS = 10.0
"""Seconds that posts which have begun are given when the bot stops; what is left is delivered by the next start."""
START_UP = 10.0
"""Seconds that the start waits for what an earlier process left to be posted; the rest goes on beside it."""
FIRST_DELAY = 5.0
LONGEST_DELAY = 600.0
"""Seconds until a delivery that broke is taken up again: doubled from the first to the longest."""
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Delivery:
    """Joins jobs to Discord: services are told of nothing but where a result was posted."""

    def __init__(self, client: discord.Client, services: Services, *, clock: Clock | None = None) -> None:
        self._client = client
        self._jobs = services.jobs
        self._clock = clock or Clock()
        self._pacer = Pacer(self._clock)
        self._poster = Poster(client, services.jobs, self._clock)
        self._followers: dict[UUID, Follower] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow every job until the updates end, then let posts that have begun come to their end."""
        try:
            async for update in self._jobs.updates():
                if update.job_id not in self._followers:
                    self._follow(update.job_id)
                self._followers[update.job_id].put(update)
            posts = {task for job_id, task in self._tasks.items() if self._is_posting(job_id)}
            if posts:
                await asyncio.wait(posts, timeout=LAST_POSTS)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self) -> None:
        """Deliver what an earlier process had finished but perhaps not posted; call after login, before commands."""
        posts = {self._start(job.id, self._reconcile_one(job)) for job in await self._jobs.posting_jobs()}
        posts |= {self._start(job.id, self._close(job)) for job in await self._jobs.unclosed_jobs()}
        if posts:
            await asyncio.wait(posts, timeout=START_UP)

    async def _reconcile_one(self, job: Job) -> None:
        await self._poster.post(job, look_first=True)
        await self._close(await self._jobs.get(job.id))

    async def _close(self, job: Job) -> None:
        """A job ended and nobody has brought its progress message to its end."""
        message = self._progress_message(job)
        await message.find()
        # A message that is gone or out of reach for good needs no further start to look at it.
        if await show_end(message, job) or not message.exists:
            await self._jobs.closed(job.id)

    def _progress_message(self, job: Job) -> ProgressMessage:
        return ProgressMessage(self._client, self._jobs, job.id, job.destination, self._clock)

    def _is_posting(self, job_id: UUID) -> bool:
        return job_id not in self._followers or self._followers[job_id].has_ended()

    def _follow(self, job_id: UUID) -> None:
        follower = Follower(
            self._client, self._jobs, job_id, poster=self._poster, pacer=self._pacer, clock=self._clock
        )
        self._followers[job_id] = follower
        self._start(job_id, follower.run())

    def _start(self, job_id: UUID, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(job_id, work), name=f"delivery of {job_id}")
        self._tasks[job_id] = task
        return task

    async def _guarded(self, job_id: UUID, work: Coroutine[Any, Any, None]) -> None:
        delay = FIRST_DELAY
        try:
            while True:
                try:
                    await work
                    return
                except UserError:
                    log.info("job %s was deleted before it could be shown", job_id)
                    return
                except Exception:
                    # One job that cannot be shown now must neither stop the others nor be forgotten.
                    log.exception("job %s could not be delivered; trying again in %.0f s", job_id, delay)
                await self._clock.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
                work = self._go_on(job_id)
        finally:
            self._followers.pop(job_id, None)
            self._tasks.pop(job_id, None)
            self._pacer.forget_idle()

    async def _go_on(self, job_id: UUID) -> None:
        """Take up a delivery that broke, wherever its job stands by now."""
        job = await self._jobs.get(job_id)
        if job.state is JobState.POSTING:
            await self._reconcile_one(job)
        elif job.state in ENDED:
            await self._close(job)
        elif job_id in self._followers:
            await self._followers[job_id].run()
