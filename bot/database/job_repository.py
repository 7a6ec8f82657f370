"""Jobs and their pictures: rows in, frozen domain objects out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Update, and_, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.database import Database
from bot.database.tables import ImageTable, JobTable, UserTable
from bot.domain import Action, Destination, Job, JobState, Likeness, Safety, StoredImage


class JobRepository:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: Job) -> Job | None:
        """Store a new job and its owner's name; None, and nothing stored, when its parent was deleted meanwhile.

        Where its source has a job already, that one is returned instead.
        """
        async with self._database.db_session(write=True) as db_session:
            existing = await self._first(db_session, select(JobTable).where(JobTable.source == job.source))
            if existing:
                return existing
            if job.parent_id is not None and await db_session.get(JobTable, job.parent_id) is None:
                return None
            user = insert(UserTable).values(id=job.owner_id, name=job.owner_name, created_at=job.created_at)
            await db_session.execute(
                user.on_conflict_do_update(index_elements=[UserTable.id], set_={"name": job.owner_name})
            )
            db_session.add(_row(job))
        return job

    async def get(self, job_id: UUID) -> Job | None:
        """One job, or None when it was deleted."""
        async with self._database.db_session() as db_session:
            return await self._first(db_session, select(JobTable).where(JobTable.id == job_id))

    async def of_source(self, source: str) -> Job | None:
        """The job that an interaction has made, if it has."""
        async with self._database.db_session() as db_session:
            return await self._first(db_session, select(JobTable).where(JobTable.source == source))

    async def upscales(self, parent_id: UUID, index: int) -> tuple[Job, ...]:
        """The jobs that post this picture alone, newest first."""
        chosen = select(JobTable).where(
            JobTable.parent_id == parent_id,
            JobTable.parent_index == index,
            JobTable.action == Action.UPSCALE,
        )
        async with self._database.db_session() as db_session:
            return await self._all(
                db_session, chosen.order_by(JobTable.created_at.desc(), JobTable.id.desc())
            )

    async def in_states(
        self, states: Collection[JobState], *, owner_id: int | None = None
    ) -> tuple[Job, ...]:
        """Jobs in any of the states, oldest first."""
        chosen = select(JobTable).where(JobTable.state.in_(states))
        if owner_id is not None:
            chosen = chosen.where(JobTable.owner_id == owner_id)
        async with self._database.db_session() as db_session:
            return await self._all(db_session, chosen.order_by(JobTable.created_at, JobTable.id))

    async def history(self, owner_id: int, *, before: UUID | None, limit: int) -> tuple[Job, ...]:
        """A user's finished jobs with pictures, newest first; `before` is the last job of the page before."""
        chosen = select(JobTable).where(
            JobTable.owner_id == owner_id, JobTable.state == JobState.DONE, JobTable.images.any()
        )
        async with self._database.db_session() as db_session:
            if before is not None:
                last = await db_session.get(JobTable, before)
                if last is None:
                    return ()
                chosen = chosen.where(
                    or_(
                        JobTable.created_at < last.created_at,
                        and_(JobTable.created_at == last.created_at, JobTable.id < last.id),
                    )
                )
            ordered = chosen.order_by(JobTable.created_at.desc(), JobTable.id.desc()).limit(limit)
            return await self._all(db_session, ordered)

    async def move(
        self, job_id: UUID, sources: Collection[JobState], state: JobState, **columns: Any
    ) -> bool:
        """Bring a job from one of `sources` into `state`; False, and nothing changed, when it is in none of them."""
        async with self._database.db_session(write=True) as db_session:
            return await _move(db_session, job_id, sources, state, columns)

    async def finish(
        self, job_id: UUID, sources: Collection[JobState], images: Sequence[StoredImage], **columns: Any
    ) -> bool:
        """Bring a job into POSTING together with its pictures; False, and nothing changed, when it is not in `sources`."""
        async with self._database.db_session(write=True) as db_session:
            moved = await _move(db_session, job_id, sources, JobState.POSTING, columns)
            if moved:
                db_session.add_all(
                    ImageTable(
                        job_id=job_id,
                        index=image.index,
                        seed=image.seed,
                        width=image.width,
                        height=image.height,
                        sha256=image.sha256,
                        safety=image.safety,
                    )
                    for image in images
                )
            return moved

    async def set_destination(self, job_id: UUID, destination: Destination, now: datetime) -> Job | None:
        """Remember which message shows the job; returns the job, None when it is gone.

        Tokens that are dead at `now` are forgotten along with it, so that none outlives the next job.
        """
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(_expired_tokens(now))
            await db_session.execute(
                update(JobTable)
                .where(JobTable.id == job_id)
                .values(
                    channel_id=destination.channel_id,
                    message_id=destination.message_id,
                    token=destination.token,
                    token_expires_at=destination.expires_at,
                )
            )
            return await self._first(db_session, select(JobTable).where(JobTable.id == job_id))

    async def set_result(self, job_id: UUID, channel_id: int, message_id: int) -> None:
        """Remember the newest message that shows a finished job."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(
                update(JobTable)
                .where(JobTable.id == job_id, JobTable.state == JobState.DONE)
                .values(result_channel_id=channel_id, result_message_id=message_id)
            )

    async def set_likeness(self, job_id: UUID, likeness: Likeness) -> None:
        """Remember which pictures of a finished job look alike."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(update(JobTable).where(JobTable.id == job_id).values(likeness=likeness))

    async def of_ids(self, job_ids: Collection[UUID]) -> tuple[Job, ...]:
        """Those of these jobs that are still there, in no order."""
        async with self._database.db_session() as db_session:
            return await self._all(db_session, select(JobTable).where(JobTable.id.in_(job_ids)))

    async def forget_result(self, job_id: UUID, message_id: int | None) -> None:
        """This message is gone; nothing changes where another one shows the job by now."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(
                update(JobTable)
                .where(JobTable.id == job_id, JobTable.result_message_id == message_id)
                .values(result_channel_id=None, result_message_id=None)
            )

    async def unclosed(self, states: Collection[JobState]) -> tuple[Job, ...]:
        """Jobs in any of the states whose progress message is still remembered, oldest first."""
        chosen = select(JobTable).where(JobTable.message_id.is_not(None), JobTable.state.in_(states))
        async with self._database.db_session() as db_session:
            return await self._all(db_session, chosen.order_by(JobTable.created_at, JobTable.id))

    async def forget_message(self, job_id: UUID) -> None:
        """The progress message is of no more use, and neither is the token that could edit it."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(
                update(JobTable)
                .where(JobTable.id == job_id)
                .values(message_id=None, token=None, token_expires_at=None)
            )

    async def drop_token(self, job_id: UUID) -> None:
        """Forget the interaction's token."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(
                update(JobTable).where(JobTable.id == job_id).values(token=None, token_expires_at=None)
            )

    async def drop_expired_tokens(self, now: datetime) -> None:
        """Forget every token that is dead at `now`."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(_expired_tokens(now))

    async def delete(self, job_id: UUID, sources: Collection[JobState]) -> bool:
        """Remove a job and its pictures' rows; its children stay. False when it is not in any of `sources`."""
        async with self._database.db_session(write=True) as db_session:
            chosen = delete(JobTable).where(JobTable.id == job_id, JobTable.state.in_(sources))
            return bool((await db_session.execute(chosen.returning(JobTable.id))).first())

    async def ids(self, *, without: Collection[JobState] = ()) -> frozenset[UUID]:
        """Every job's id, but for those in the states `without`."""
        async with self._database.db_session() as db_session:
            return frozenset(
                await db_session.scalars(select(JobTable.id).where(JobTable.state.not_in(without)))
            )

    async def _first(self, db_session: AsyncSession, chosen: Select[JobTable]) -> Job | None:
        return next(iter(await self._all(db_session, chosen)), None)

    async def _all(self, db_session: AsyncSession, chosen: Select[JobTable]) -> tuple[Job, ...]:
        # A session may know older values of a row that an UPDATE has just changed.
        rows = await db_session.scalars(chosen.execution_options(populate_existing=True))
        return tuple(self._job(row) for row in rows)

    def _job(self, row: JobTable) -> Job:
        return Job(
            id=row.id,
            action=Action(row.action),
            state=JobState(row.state),
            owner_id=row.owner_id,
            owner_name=row.owner.name,
            guild_id=row.guild_id,
            source=row.source,
            prompt=row.prompt,
            parameters=row.parameters,
            model=row.model,
            sampling=row.sampling,
            seeds=row.seeds,
            destination=Destination(
                channel_id=row.channel_id,
                message_id=row.message_id,
                token=row.token,
                expires_at=row.token_expires_at,
            ),
            created_at=row.created_at,
            locale=row.locale,
            parent_id=row.parent_id,
            parent_index=row.parent_index,
            uploads=row.uploads,
            reference_count=row.reference_count,
            strip=row.strip,
            moved_from=row.moved_from,
            texts=row.texts,
            started_at=row.started_at,
            finished_at=row.finished_at,
            device_seconds=row.device_seconds,
            error_code=row.error_code,
            error_values=row.error_values,
            unread_words=row.unread_words,
            unknown_words=row.unknown_words,
            result_channel_id=row.result_channel_id,
            result_message_id=row.result_message_id,
            likeness=row.likeness,
            images=tuple(
                StoredImage(
                    index=image.index,
                    seed=image.seed,
                    width=image.width,
                    height=image.height,
                    sha256=image.sha256,
                    safety=Safety(image.safety),
                    path=self._database.picture_path(row.id, image.index),
                )
                for image in row.images
            ),
        )


def _expired_tokens(now: datetime) -> Update:
    return update(JobTable).where(JobTable.token_expires_at <= now).values(token=None, token_expires_at=None)


async def _move(
    db_session: AsyncSession,
    job_id: UUID,
    sources: Collection[JobState],
    state: JobState,
    columns: dict[str, Any],
) -> bool:
    chosen = update(JobTable).where(JobTable.id == job_id, JobTable.state.in_(sources))
    moved = await db_session.execute(chosen.values(state=state, **columns).returning(JobTable.id))
    return moved.first() is not None


def _row(job: Job) -> JobTable:
    """A job without pictures: those come with `finish`."""
    return JobTable(
        id=job.id,
        action=job.action,
        state=job.state,
        owner_id=job.owner_id,
        guild_id=job.guild_id,
        source=job.source,
        prompt=job.prompt,
        parameters=job.parameters,
        model=job.model,
        sampling=job.sampling,
        seeds=job.seeds,
        channel_id=job.destination.channel_id,
        message_id=job.destination.message_id,
        token=job.destination.token,
        token_expires_at=job.destination.expires_at,
        created_at=job.created_at,
        locale=job.locale,
        parent_id=job.parent_id,
        parent_index=job.parent_index,
        uploads=job.uploads,
        reference_count=job.reference_count,
        strip=job.strip,
        moved_from=job.moved_from,
        texts=job.texts,
        started_at=job.started_at,
        finished_at=job.finished_at,
        device_seconds=job.device_seconds,
        error_code=job.error_code,
        error_values=job.error_values,
        unread_words=job.unread_words,
        unknown_words=job.unknown_words,
        result_channel_id=job.result_channel_id,
        result_message_id=job.result_message_id,
        likeness=job.likeness,
    )
