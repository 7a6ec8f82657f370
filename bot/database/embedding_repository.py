"""Where pictures lie for a model that compares them, and what was searched for: float16 vectors in, the same bytes out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_
from sqlalchemy.dialects.sqlite import insert

from bot.database.database import Database
from bot.database.tables import ImageTable, JobTable, PictureEmbeddingTable, SearchTable
from bot.domain import JobState, Safety

SEARCHES_KEPT = timedelta(days=30)
"""How long the pages of a search can be turned."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A stored picture of a finished job."""

    job_id: UUID
    index: int
    owner_id: int
    sha256: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Some of a user's pictures, oldest first."""

    ids: tuple[int, ...]
    """Of the rows: rising, and never given twice."""
    pictures: tuple[tuple[UUID, int], ...]
    """Job and index of each."""
    data: tuple[bytes, ...]
    """Of each its vector: float16, little-endian."""


_Rows = Select[int, UUID, int, bytes]


class EmbeddingRepository:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def missing(
        self, model: str, after: tuple[UUID, int] | None, limit: int
    ) -> tuple[tuple[Picture, ...], tuple[UUID, int] | None]:
        """Of the next `limit` pictures those without a vector; and the last one looked at, None at the end."""
        images = select(ImageTable.job_id, ImageTable.index)
        if after is not None:
            images = images.where(tuple_(ImageTable.job_id, ImageTable.index) > after)
        images = images.order_by(ImageTable.job_id, ImageTable.index).limit(limit)
        async with self._database.db_session() as db_session:
            keys = [(job_id, index) for job_id, index in await db_session.execute(images)]
        if not keys:
            return (), None
        return await self._without(model, {job_id for job_id, _ in keys}), keys[-1]

    async def missing_of(self, model: str, job_id: UUID) -> tuple[Picture, ...]:
        """The pictures of one finished job that have no vector."""
        return await self._without(model, {job_id})

    async def add(self, model: str, vectors: Sequence[tuple[Picture, bytes]]) -> None:
        """Store vectors; those of pictures that were deleted or changed meanwhile are dropped."""
        async with self._database.db_session(write=True) as db_session:
            for picture, vector in vectors:
                image = await db_session.get(ImageTable, (picture.job_id, picture.index))
                if image is None or image.sha256 != picture.sha256:
                    continue
                row = insert(PictureEmbeddingTable).values(
                    job_id=picture.job_id,
                    index=picture.index,
                    owner_id=picture.owner_id,
                    model=model,
                    sha256=picture.sha256,
                    vector=vector,
                )
                await db_session.execute(row.on_conflict_do_nothing())

    async def count(self, owner_id: int, model: str) -> tuple[int, int]:
        """How many vectors a user has, and the newest's id (0: none)."""
        chosen = select(func.count(), func.max(PictureEmbeddingTable.id)).where(*_of(owner_id, model))
        async with self._database.db_session() as db_session:
            number, newest = (await db_session.execute(chosen)).one()
            return number, newest or 0

    async def newer(self, owner_id: int, model: str, *, than: int, limit: int) -> Vectors:
        """The next vectors of a user after the row `than`, oldest first."""
        chosen = _rows().where(*_of(owner_id, model), PictureEmbeddingTable.id > than)
        return await self._vectors(chosen.order_by(PictureEmbeddingTable.id).limit(limit))

    async def newest(self, owner_id: int, model: str, limit: int) -> Vectors:
        """The newest vectors of a user, oldest first."""
        chosen = _rows().where(*_of(owner_id, model))
        found = await self._vectors(chosen.order_by(PictureEmbeddingTable.id.desc()).limit(limit))
        return Vectors(ids=found.ids[::-1], pictures=found.pictures[::-1], data=found.data[::-1])

    async def add_search(
        self, search_id: UUID, owner_id: int, model: str, vector: bytes, now: datetime
    ) -> None:
        """Remember what is looked for; searches that are too old are forgotten along with it."""
        async with self._database.db_session(write=True) as db_session:
            await db_session.execute(delete(SearchTable).where(SearchTable.created_at < now - SEARCHES_KEPT))
            db_session.add(
                SearchTable(id=search_id, owner_id=owner_id, model=model, vector=vector, created_at=now)
            )

    async def search(self, search_id: UUID, owner_id: int) -> tuple[str, bytes] | None:
        """Model and vector of somebody's own search; None when it is too old or another's."""
        async with self._database.db_session() as db_session:
            row = await db_session.get(SearchTable, search_id)
            return (row.model, row.vector) if row is not None and row.owner_id == owner_id else None

    async def _without(self, model: str, job_ids: Collection[UUID]) -> tuple[Picture, ...]:
        there = (
            select(PictureEmbeddingTable.id)
            .where(
                PictureEmbeddingTable.job_id == ImageTable.job_id,
                PictureEmbeddingTable.index == ImageTable.index,
                PictureEmbeddingTable.model == model,
            )
            .exists()
        )
        chosen = (
            select(ImageTable.job_id, ImageTable.index, ImageTable.sha256, JobTable.owner_id)
            .join(JobTable, JobTable.id == ImageTable.job_id)
            .where(
                ImageTable.job_id.in_(job_ids),
                JobTable.state == JobState.DONE,
                ImageTable.safety != Safety.FLAGGED,
                ~there,
            )
            .order_by(ImageTable.job_id, ImageTable.index)
        )
        async with self._database.db_session() as db_session:
            return tuple(
                Picture(
                    job_id=job_id,
                    index=index,
                    owner_id=owner_id,
                    sha256=sha256,
                    path=self._database.picture_path(job_id, index),
                )
                for job_id, index, sha256, owner_id in await db_session.execute(chosen)
            )

    async def _vectors(self, chosen: _Rows) -> Vectors:
        async with self._database.db_session() as db_session:
            rows = (await db_session.execute(chosen)).all()
        return Vectors(
            ids=tuple(row[0] for row in rows),
            pictures=tuple((row[1], row[2]) for row in rows),
            data=tuple(row[3] for row in rows),
        )


def _rows() -> _Rows:
    table = PictureEmbeddingTable
    return select(table.id, table.job_id, table.index, table.vector)


def _of(owner_id: int, model: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PictureEmbeddingTable.owner_id == owner_id, PictureEmbeddingTable.model == model
