"""The one door for commands and buttons: make jobs, follow them, end them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from bot.database import Database, DatabaseUnavailableError, JobRepository
from bot.domain import Action, Asker, Destination, Job, JobState, JobUpdate, Order
from bot.downloads import Downloads
from bot.errors import UserError
from bot.image_store import ImageStore
from bot.prompting import source_count
from bot.services.embedder import Embedder
from bot.services.job_run import UNFINISHED, JobRun
from bot.services.new_jobs import can_move, child_job, first_job, model_of, retried_job
from bot.services.update_feed import UpdateFeed
from bot.services.waiting_line import Limits, WaitingLine
from engine import Engine, EngineStats, ModelInfo

log = logging.getLogger(__name__)

SHOWN_WITHIN = 60.0
"""Seconds after which an accepted job runs even if nobody was told of it."""
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobService:
    """The database is the truth: what stands in memory here is rebuilt from it by `resume`."""

    def __init__(
        self,
        *,
        engine: Engine,
        database: Database,
        image_store: ImageStore,
        limits: Limits,
        downloads: Downloads = Downloads(),  # noqa: B008  # frozen
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_posted: Callable[[UUID], None] = lambda _job_id: None,
    ) -> None:
        """`on_posted` is called when a job's pictures stand where they will stay."""
        self._engine = engine
        self._jobs = JobRepository(database)
        self._image_store = image_store
        self._downloads = downloads
        self._embedder = Embedder(engine)
        self.limits = limits
        self._line = WaitingLine(limits)
        self._feed = UpdateFeed()
        self._now = now
        self._on_posted = on_posted
        self._runs: dict[UUID, tuple[JobRun, asyncio.Task[None]]] = {}
        self._unshown: dict[UUID, asyncio.TimerHandle] = {}
        # Two clicks on the same U must not both find that it was not posted yet.
        self._upscaling = asyncio.Lock()
        self._closed = False

    async def create(self, asker: Asker, order: Order) -> Job:
        """Check an order and store its job; nothing runs before `shown`. The same source gives the same job.

        The caller goes on to `shown` within a minute, and does not cancel this call: its row may be stored already.

        Raises:
            UserError: what was wrong with the prompt, the picture, the place or the time to ask. For an UPSCALE that
                is posted in this channel already, `already_posted` with job_id, guild_id, channel_id and message_id.
        """
        if not asker.bot_may_post:
            raise UserError("cannot_post_here")
        begins = order.action in (Action.IMAGINE, Action.DESCRIBE, Action.BLEND)
        job = first_job(asker, order, self.models(), self._now()) if begins else None
        with _database_errors_explained():
            existing = await self._jobs.of_source(order.source)
            if existing is not None:
                return existing
            if job is not None:
                return await self._accept(job)
            if order.parent_id is None:
                raise UserError("job_gone")
            parent = await self.get(order.parent_id)
            if order.action is not Action.UPSCALE:
                return await self._accept(child_job(asker, order, parent, self.models(), self._now()))
            async with self._upscaling:
                await self._refuse_second_upscale(asker, parent.id, order.index)
                return await self._accept(child_job(asker, order, parent, self.models(), self._now()))

    async def shown(self, job_id: UUID, destination: Destination) -> None:
        """The job's message stands: remember it and let the job run when its turn comes. Again is fine."""
        try:
            job = await self._jobs.set_destination(job_id, destination, self._now())
        except DatabaseUnavailableError:
            # The job was accepted and its asker told so. It runs when its time is up; delivery finds the message.
            log.exception("the message of job %s could not be noted", job_id)
            return
        self._forget_unshown(job_id)
        if job is not None and job.state is JobState.WAITING:
            self._start(job)
        elif job is not None and job.state in ENDED:
            # It ended before its message stood, so nobody has closed that message yet.
            self._feed.put(JobUpdate(job_id=job_id, state=job.state))

    def updates(self) -> AsyncIterator[JobUpdate]:
        """Every job's newest state, until the service is closed. For one reader."""
        return self._feed.read()

    async def get(self, job_id: UUID) -> Job:
        """One job as it is stored. Raises UserError `job_gone`."""
        job = await self._jobs.get(job_id)
        if job is None:
            raise UserError("job_gone")
        return job

    async def unfinished(self, user_id: int) -> tuple[Job, ...]:
        """A user's waiting and running jobs, oldest first."""
        return await self._jobs.in_states(UNFINISHED, owner_id=user_id)

    async def cancel(self, asker: Asker, job_id: UUID) -> Job:
        """End a waiting or running job. Raises UserError `job_gone`, `not_yours` or `too_late`."""
        job = await self._own(asker, job_id)
        if not await self._jobs.move(job_id, UNFINISHED, JobState.CANCELLED, finished_at=self._now()):
            raise UserError("too_late")
        self._forget_unshown(job_id)
        run = self._runs.get(job_id)
        if run is not None:
            run[0].stop()
        else:
            self._left(job)
        self._feed.put(JobUpdate(job_id=job_id, state=JobState.CANCELLED))
        return replace(job, state=JobState.CANCELLED)

    async def cancel_newest(self, asker: Asker) -> Job:
        """End the asker's newest unfinished job. Raises UserError `nothing_to_cancel` or `too_late`."""
        jobs = await self.unfinished(asker.user_id)
        if not jobs:
            raise UserError("nothing_to_cancel")
        return await self.cancel(asker, jobs[-1].id)

    async def retry(self, asker: Asker, job_id: UUID, source: str) -> Job:
        """A failed job once more: the same prompt, parameters, seeds and parent, on the asker's account.

        Raises:
            UserError: `job_gone`, `not_failed`, or as `create` does.
        """
        if not asker.bot_may_post:
            raise UserError("cannot_post_here")
        with _database_errors_explained():
            existing = await self._jobs.of_source(source)
            if existing is not None:
                return existing
            failed = await self.get(job_id)
            job = await self._accept(retried_job(asker, source, failed, self.models(), self._now()))
        # What it starts from may be gone with its parent, but the failed job kept copies.
        try:
            for number in range(source_count(failed)):
                await self._image_store.copy(
                    self._image_store.source_path(failed.id, number),
                    self._image_store.source_path(job.id, number),
                )
        except FileNotFoundError:
            pass  # A job from text alone, or one that failed before it had copied: it asks the parent again.
        except OSError:
            log.exception("job %s could not take over the picture that job %s starts from", job.id, failed.id)
        return job

    async def delete(self, asker: Asker, job_id: UUID) -> Job:
        """Remove a job with its pictures; returns what it was. Its children stay.

        Raises:
            UserError: `job_gone`, `not_yours`, or `posting_now`.
        """
        job = await self._own(asker, job_id)
        if job.state in UNFINISHED:
            # Too late to cancel is not too late to delete, unless it is being posted.
            with suppress(UserError):
                await self.cancel(asker, job_id)
        if not await self._jobs.delete(job_id, ENDED):
            raise UserError("posting_now")
        # Rows first: a crash in between leaves files that nobody refers to, and the next start sweeps them away.
        await self._image_store.delete(job_id)
        return job

    async def posted(self, job_id: UUID, *, channel_id: int, message_id: int) -> None:
        """The result stands on Discord. Again is fine, and so is a job that is gone."""
        await self._jobs.move(
            job_id,
            [JobState.POSTING],
            JobState.DONE,
            result_channel_id=channel_id,
            result_message_id=message_id,
            token=None,
            token_expires_at=None,
        )
        self._on_posted(job_id)

    async def not_postable(self, job_id: UUID, error: UserError) -> None:
        """Nobody can be reached with the result; it waits in /history. `error` says why."""
        await self._jobs.move(
            job_id,
            [JobState.POSTING],
            JobState.DONE,
            error_code=error.code,
            error_values={name: str(value) for name, value in error.values.items()},
            token=None,
            token_expires_at=None,
        )
        self._on_posted(job_id)

    async def reposted(self, job_id: UUID, *, channel_id: int, message_id: int) -> None:
        """A finished job was shown again: remember its newest message."""
        await self._jobs.set_result(job_id, channel_id, message_id)

    async def lost(self, job: Job) -> None:
        """The message that this finished job names was deleted on Discord; `/show` and U bring its pictures back."""
        await self._jobs.forget_result(job.id, job.result_message_id)

    async def closed(self, job_id: UUID) -> None:
        """The progress message shows the job's end or is gone; nothing has to be done to it any more."""
        await self._jobs.forget_message(job_id)

    async def unclosed_jobs(self) -> tuple[Job, ...]:
        """Ended jobs whose progress message may still say that they wait or run, oldest first."""
        return await self._jobs.unclosed(ENDED)

    async def drop_token(self, job_id: UUID) -> None:
        """The interaction's token is dead: forget it."""
        await self._jobs.drop_token(job_id)

    async def posting_jobs(self) -> tuple[Job, ...]:
        """Jobs whose result may or may not be on Discord, oldest first."""
        return await self._jobs.in_states([JobState.POSTING])

    async def resume(self) -> int:
        """After a start: clean up, then take on every unfinished job again in the order of asking; their number."""
        await self._jobs.drop_expired_tokens(self._now())
        await self._image_store.sweep(await self._jobs.ids(without=[JobState.CANCELLED]))
        jobs = await self._jobs.in_states(UNFINISHED)
        for job in jobs:
            if job.state is JobState.RUNNING:
                await self._jobs.move(job.id, [JobState.RUNNING], JobState.WAITING, started_at=None)
            if job.action is not Action.UPSCALE:
                self._line.enter(job)
        for job in jobs:
            self._start(replace(job, state=JobState.WAITING, started_at=None))
        return len(jobs)

    def models(self) -> Sequence[ModelInfo]:
        """What the engine offers, the default first."""
        return self._engine.models()

    def can_move(self, job: Job) -> bool:
        """Whether a remix may move the job's pictures along the difference of two texts."""
        return can_move(job, self.models())

    def stats(self) -> EngineStats:
        """The engine's queue and device."""
        return self._engine.stats()

    def queue(self) -> tuple[int, int]:
        """How many jobs of all users run and how many wait."""
        return self._line.counts()

    async def close(self) -> None:
        """Stop following jobs and end `updates`. Unfinished ones stay as they are, for the next start.

        What is asked for from here on is stored and answered as ever, and runs after the next start.
        """
        self._closed = True
        for job_id in list(self._unshown):
            self._forget_unshown(job_id)
        runs = list(self._runs.items())
        for job_id, (_, task) in runs:
            task.cancel()
            self._engine.abort(job_id.hex)
        await asyncio.gather(*(task for _, (_, task) in runs), return_exceptions=True)
        self._feed.close()

    async def _accept(self, job: Job) -> Job:
        """Let a job into the line and store it. A U makes the GPU no work and never waits."""
        in_line = job.action is not Action.UPSCALE
        if in_line:
            self._line.admit(job, self.stats().seconds_per_row_step)
        stored: Job | None = None
        try:
            stored = await self._jobs.add(job)
        finally:
            if stored is None or stored.id != job.id:
                self._line.leave(job.id)
        if stored is None:
            raise UserError("job_gone")
        if stored.id == job.id:
            # An edge that broke before it could call `shown` must not cost its user a place in the line for ever.
            loop = asyncio.get_running_loop()
            self._unshown[job.id] = loop.call_later(SHOWN_WITHIN, self._start_unshown, job)
        return stored

    def _start_unshown(self, job: Job) -> None:
        log.warning("job %s was never shown; it runs without a progress message", job.id)
        self._forget_unshown(job.id)
        self._start(job)

    def _forget_unshown(self, job_id: UUID) -> None:
        timer = self._unshown.pop(job_id, None)
        if timer is not None:
            timer.cancel()

    async def _refuse_second_upscale(self, asker: Asker, parent_id: UUID, index: int | None) -> None:
        if index is None:
            return
        for job in await self._jobs.upscales(parent_id, index):
            if job.state in (*UNFINISHED, JobState.POSTING):
                raise UserError("already_under_way")
            if job.result_message_id is not None and job.result_channel_id == asker.channel_id:
                raise UserError(
                    "already_posted",
                    job_id=job.id,
                    guild_id=asker.guild_id or "@me",
                    channel_id=job.result_channel_id,
                    message_id=job.result_message_id,
                )

    async def _own(self, asker: Asker, job_id: UUID) -> Job:
        job = await self.get(job_id)
        # Whoever manages the messages of one channel has no say in another, nor in anybody's direct messages.
        here = job.guild_id == asker.guild_id and asker.channel_id in (
            job.destination.channel_id,
            job.result_channel_id,
        )
        moderates = asker.may_manage and asker.guild_id is not None and here
        if job.owner_id != asker.user_id and not moderates:
            raise UserError("not_yours")
        return job

    def _start(self, job: Job) -> None:
        if job.action is Action.UPSCALE:
            self._run(job)
        else:
            self._line.ready(job)
            self._send(job.owner_id)

    def _send(self, owner_id: int) -> None:
        """Send what may go to the engine now, and tell the others where they stand."""
        for job in self._line.send(owner_id):
            self._run(job)
        for job_id, place, eta in self._line.held(self.stats().seconds_per_row_step):
            self._feed.put(JobUpdate(job_id=job_id, state=JobState.WAITING, place=place, eta=eta))

    def _run(self, job: Job) -> None:
        if self._closed or job.id in self._runs:
            return
        run = JobRun(
            job,
            model_of(job, self.models()),
            engine=self._engine,
            jobs=self._jobs,
            image_store=self._image_store,
            downloads=self._downloads,
            embedder=self._embedder,
            line=self._line,
            feed=self._feed,
            now=self._now,
        )
        task = asyncio.create_task(self._follow(job, run), name=f"job {job.id}")
        self._runs[job.id] = run, task

    async def _follow(self, job: Job, run: JobRun) -> None:
        try:
            await run.run()
        except Exception:  # the database failed under the job's last words: its row stays for the next start
            log.exception("job %s could not be ended", job.id)
            self._feed.put(JobUpdate(job_id=job.id, state=JobState.FAILED, error=UserError("internal_error")))
        finally:
            del self._runs[job.id]
        self._left(job)

    def _left(self, job: Job) -> None:
        self._line.leave(job.id)
        self._send(job.owner_id)


@contextmanager
def _database_errors_explained() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError as error:
        log.exception("the database could not be asked")
        raise UserError("database_busy") from error
