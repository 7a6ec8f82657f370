"""Says of new pictures that they look alike, or like earlier ones of the same user. Never part of making or posting them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import numpy as np

from bot.database import Database, EmbeddingRepository, JobRepository, Vectors
from bot.domain import Action, Likeness
from bot.services.embedder import Embedder
from bot.services.vectors import from_stored

ALIKE = 0.98
"""The least cosine of two pictures that are said to look alike. On 400 held-out renders in the embedded model's space, 99 %
of pictures lie at 0.997 or more of themselves saved as JPEG and at 0.993 or more of themselves 5 % brighter; no two different
scenes lie nearer than 0.89."""
EARLIER = 1000
"""The newest of a user's pictures that a new one is compared with."""


class LikenessService:
    """Looks at jobs whose pictures have their vectors, and remembers in the row what it finds."""

    def __init__(self, embedder: Embedder, database: Database) -> None:
        self._embedder = embedder
        self._jobs = JobRepository(database)
        self._embeddings = EmbeddingRepository(database)
        self._found: asyncio.Queue[UUID] = asyncio.Queue()

    async def look_at(self, job_id: UUID) -> None:
        """Compare a posted job's pictures. Variations are meant to look alike, and a U is its cell."""
        job, model = await self._jobs.get(job_id), self._embedder.model
        if job is None or model is None or job.action not in (Action.IMAGINE, Action.REROLL):
            return
        vectors = await self._embeddings.newest(job.owner_id, model, EARLIER + len(job.images))
        likeness = await asyncio.to_thread(likeness_of, job_id, vectors)
        if likeness is not None:
            await self._jobs.set_likeness(job_id, likeness)
            self._found.put_nowait(job_id)

    async def found(self) -> AsyncIterator[UUID]:
        """Jobs whose message can say more now. For one reader, who stops it by cancelling."""
        while True:
            yield await self._found.get()


def likeness_of(job_id: UUID, vectors: Vectors) -> Likeness | None:
    """Which pictures of a job look alike, and which earlier one of `vectors` the nearest looks like; None: nothing does."""
    own = [row for row, (owner, _) in enumerate(vectors.pictures) if owner == job_id]
    first = min(own, default=0)
    if not own:
        return None
    rows = np.stack([from_stored(vectors.data[row]) for row in own])
    cosines = rows @ rows.T - np.eye(len(own), dtype=np.float32)
    cells = tuple(
        sorted(vectors.pictures[own[number]][1] for number in np.flatnonzero((cosines >= ALIKE).any(1)))
    )
    if first:
        earlier = rows @ np.stack([from_stored(data) for data in vectors.data[:first]]).T
        number, nearest = np.unravel_index(int(earlier.argmax()), earlier.shape)
        if earlier[number, nearest] >= ALIKE:
            job, index = vectors.pictures[nearest]
            return Likeness(
                cells=cells, earlier_job=job.hex, earlier_index=index, index=vectors.pictures[own[number]][1]
            )
    return Likeness(cells=cells) if cells else None
