"""The way from jobs to delivery: newest wins per job, and nobody ever waits for a slow reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

from bot.domain import JobUpdate


class UpdateFeed:
    """Holds at most one unread update per job. One reader; everything happens on the event loop's thread."""

    def __init__(self) -> None:
        # Insertion order is reading order: a job keeps its turn while its update is replaced.
        self._unread: dict[UUID, JobUpdate] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, update: JobUpdate) -> None:
        """Replace the job's unread update; its unread preview stays where the newer one brings none."""
        older = self._unread.get(update.job_id)
        if older is not None and older.state is update.state and update.preview is None:
            update = replace(update, preview=older.preview)
        self._unread[update.job_id] = update
        self._changed.set()

    def close(self) -> None:
        """End the reader's iteration after what is still unread."""
        self._closed = True
        self._changed.set()

    async def read(self) -> AsyncIterator[JobUpdate]:
        """Yield updates until the feed is closed."""
        while True:
            while self._unread:
                yield self._unread.pop(next(iter(self._unread)))
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
