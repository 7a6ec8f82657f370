"""Gives every posted picture its vector: off the posting path, behind everybody's wishes, and after a restart as well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import UUID

from bot.database import Database, DatabaseUnavailableError, EmbeddingRepository, Picture
from bot.errors import UserError
from bot.services.embedder import Embedder
from bot.services.engine_errors import ENGINE_CLOSED
from bot.services.vectors import stored_form
from engine import Lane

log = logging.getLogger(__name__)

SHARE_KEY = "embeddings"
"""Nobody's: that pictures are looked at counts on no user's fair share."""
BATCH = 8
"""Pictures of one request: small, so that whoever asks for pictures meanwhile waits for a few at most."""
LOOKED_AT = 500
"""Pictures whose rows are looked at together when what is missing is caught up."""


class EmbeddingService:
    """Once started, follows `posted` and catches up what an earlier process left."""

    def __init__(
        self, embedder: Embedder, database: Database, seen: Callable[[UUID], Awaitable[None]]
    ) -> None:
        """`seen` is called with each newly posted job once its pictures have vectors."""
        self._embedder = embedder
        self._embeddings = EmbeddingRepository(database)
        self._seen = seen
        self._posted: asyncio.Queue[UUID] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._unreadable: set[tuple[UUID, int]] = set()
        self._said: set[str] = set()
        self.idle = asyncio.Event()
        """Set while there is nothing to look at."""

    def start(self) -> None:
        """Begin; nothing happens without a model that compares pictures."""
        if self._embedder.model is None:
            log.info("no model compares pictures here, so they cannot be found by what they look like")
        else:
            self._task = asyncio.create_task(self._run(self._embedder.model), name="embeddings")

    def posted(self, job_id: UUID) -> None:
        """A job's pictures stand on Discord or wait in /history; look at them when there is time."""
        if self._task is not None:
            self.idle.clear()
            self._posted.put_nowait(job_id)

    async def close(self) -> None:
        """Stop; what is missing is caught up by the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, model: str) -> None:
        # New pictures pass those that an earlier process left, and what failed is tried again with the next new one.
        behind, after = True, None
        while True:
            try:
                if not behind or not self._posted.empty():
                    if self._posted.empty():
                        self.idle.set()
                    job_id = await self._posted.get()
                    if await self._embed(model, await self._embeddings.missing_of(model, job_id)):
                        await self._seen(job_id)
                    continue
                pictures, after = await self._embeddings.missing(model, after, LOOKED_AT)
                behind = after is not None and await self._embed(model, pictures)
            except DatabaseUnavailableError as error:
                log.warning("pictures could not be given vectors: %s", error)
                behind = False
            except Exception:  # a mistake in the program must cost searches only, never pictures
                log.exception("pictures could not be given vectors")
                behind = False

    async def _embed(self, model: str, pictures: Sequence[Picture]) -> bool:
        """Give these pictures their vectors; False when the model cannot do it now."""
        wanted = [each for each in pictures if (each.job_id, each.index) not in self._unreadable]
        for start in range(0, len(wanted), BATCH):
            if not await self._embed_batch(model, wanted[start : start + BATCH]):
                return False
        return True

    async def _embed_batch(self, model: str, pictures: Sequence[Picture]) -> bool:
        try:
            vectors = await self._embedder.vectors(
                images=[picture.path for picture in pictures], share_key=SHARE_KEY, lane=Lane.RELAXED
            )
        except UserError as error:
            if error.code == "picture_unreadable" and len(pictures) > 1:
                return all([await self._embed_batch(model, [picture]) for picture in pictures])
            if error.code == "picture_unreadable":
                self._unreadable.add((pictures[0].job_id, pictures[0].index))
                return True
            if error.code != ENGINE_CLOSED and error.code not in self._said:
                self._said.add(error.code)
                log.warning("pictures cannot be compared now (%s); searches miss the newest", error.code)
            return False
        found = zip(pictures, vectors, strict=True)
        await self._embeddings.add(model, [(picture, stored_form(vector)) for picture, vector in found])
        return True
