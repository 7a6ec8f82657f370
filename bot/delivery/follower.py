"""One job from its first update to its end: the newest state, at a pace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

import discord

from bot.delivery.closing import show_end
from bot.delivery.pacing import RUNNING_INTERVAL, WAITING_INTERVAL, Clock, Pacer
from bot.delivery.poster import Poster
from bot.delivery.progress_message import ProgressMessage
from bot.domain import Job, JobState, JobUpdate
from bot.errors import UserError
from bot.services import JobService
from bot.views.interactions import UNREACHABLE
from bot.views.job_text import failed_text, failure_of, progress_text, waiting_text
from bot.views.panels import failed_buttons, unfinished_buttons

log = logging.getLogger(__name__)

UNFINISHED = {JobState.WAITING, JobState.RUNNING}


class Follower:
    """Shows one job on Discord. Holds only its newest update, so a slow channel never builds up a backlog."""

    def __init__(
        self,
        client: discord.Client,
        jobs: JobService,
        job_id: UUID,
        *,
        poster: Poster,
        pacer: Pacer,
        clock: Clock,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._job_id = job_id
        self._poster = poster
        self._pacer = pacer
        self._clock = clock
        self._newest: JobUpdate | None = None
        self._arrived = asyncio.Event()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()

    def has_ended(self) -> bool:
        """The job's last update has arrived; what is left to do is to show it."""
        return self._ended.is_set()

    def put(self, update: JobUpdate) -> None:
        """Take over the newest update; a preview that was not shown yet stays where the newer one brings none."""
        older = self._newest
        if older is not None and older.state is update.state and update.preview is None:
            update = replace(update, preview=older.preview)
        self._newest = update
        self._arrived.set()
        if not _is_idle(update):
            self._started.set()
        if update.state not in UNFINISHED:
            self._ended.set()

    async def run(self) -> None:
        """Show updates until the job has ended. Raises UserError when it was deleted before."""
        await self._arrived.wait()
        job = await self._jobs.get(self._job_id)
        message = ProgressMessage(self._client, self._jobs, job.id, job.destination, self._clock)
        await message.find()
        await self._show_progress(job, message)
        assert self._newest is not None
        await self._show_end(self._newest, message, job)

    async def _show_progress(self, job: Job, message: ProgressMessage) -> None:
        """Edit until the last update arrives; waiting for a free moment never holds that one up."""
        shown = waiting_text(job)
        # The first answer says that the job waits; a job that starts at once goes straight on to its per cent.
        last_edit = self._clock.monotonic() - RUNNING_INTERVAL
        not_waiting_before = self._clock.monotonic() + RUNNING_INTERVAL
        while message.exists and not self.has_ended():
            await self._unless_ended(self._arrived.wait())
            if self._newest is not None and _is_idle(self._newest):
                moment = max(last_edit + WAITING_INTERVAL, not_waiting_before)
                await self._unless_ended(self._sleep_until(moment), self._started.wait())
            await self._unless_ended(
                self._pacer.turn(job.destination.channel_id, last_edit + RUNNING_INTERVAL)
            )
            if self.has_ended():
                # The last update stays, for `_show_end` and for another attempt at it.
                break
            update, self._newest = self._newest, None
            self._arrived.clear()
            if update is None:
                continue
            waiting = update.state is JobState.WAITING
            content = waiting_text(job, update) if waiting else progress_text(job, update)
            if content != shown or update.preview is not None:
                last_edit = self._clock.monotonic()
                await message.edit(content, unfinished_buttons(job), update.preview)
                shown = content
        await self._ended.wait()

    async def _unless_ended(self, *steps: Coroutine[Any, Any, object]) -> None:
        """Wait for the first of these steps, or for the job's end if that comes sooner."""
        tasks = [asyncio.ensure_future(step) for step in (*steps, self._ended.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _sleep_until(self, moment: float) -> None:
        await self._clock.sleep(max(0.0, moment - self._clock.monotonic()))

    async def _show_end(self, update: JobUpdate, message: ProgressMessage, job: Job) -> None:
        if update.state is JobState.POSTING:
            job = replace(
                job,
                state=update.state,
                images=update.images,
                texts=update.texts,
                unread_words=update.unread_words,
                unknown_words=update.unknown_words,
            )
            try:
                await self._poster.post(job, look_first=False)
                job = await self._jobs.get(job.id)
            except UserError:
                log.info("job %s was deleted while it was posted", job.id)
                job = replace(job, state=JobState.DONE)
        elif update.error is not None:
            values = {name: str(value) for name, value in update.error.values.items()}
            job = replace(job, state=update.state, error_code=update.error.code, error_values=values)
        else:
            job = replace(job, state=update.state)
        # A first answer that took very long may have come after the job had begun.
        await message.find()
        closed = await show_end(message, job)
        if not closed and job.state is JobState.FAILED:
            await self._tell_anew(job, failed_text(job, failure_of(job)))
        if closed or not message.exists:
            await self._jobs.closed(job.id)

    async def _tell_anew(self, job: Job, text: str) -> None:
        """A failure whose progress message cannot be edited is still told, in the channel or by direct message."""
        try:
            channel = self._client.get_partial_messageable(job.destination.channel_id)
            await channel.send(text, view=failed_buttons(job), suppress_embeds=True)
        except UNREACHABLE:
            try:
                direct = await self._client.create_dm(discord.Object(job.owner_id))
                await direct.send(text, view=failed_buttons(job), suppress_embeds=True)
            except UNREACHABLE as error:
                log.warning("job %s failed and nobody could be told: %s", job.id, error)


def _is_idle(update: JobUpdate) -> bool:
    """The job only stands in the queue: nothing to watch, so its message is edited less often."""
    return update.state is JobState.WAITING and update.loading is None
