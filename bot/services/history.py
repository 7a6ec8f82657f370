"""What a user has made: pages of finished jobs, and their thumbnails on one sheet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from bot.database import Database, JobRepository
from bot.domain import Job
from bot.rendering import contact_sheet


@dataclass(frozen=True, kw_only=True)
class HistoryPage:
    """Some of a user's jobs, newest first."""

    jobs: tuple[Job, ...]
    more: bool
    """There are older ones."""


class HistoryService:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._jobs = JobRepository(database)

    async def page(self, user_id: int, *, before: UUID | None = None, limit: int = 6) -> HistoryPage:
        """The newest jobs, or those older than `before`, the last job of the page before."""
        jobs = await self._jobs.history(user_id, before=before, limit=limit + 1)
        return HistoryPage(jobs=jobs[:limit], more=len(jobs) > limit)

    async def thumbnails(self, jobs: Sequence[Job]) -> bytes:
        """The first picture of each job on one sheet, as a JPEG; one whose file is gone leaves its place empty."""
        return await asyncio.to_thread(contact_sheet, [job.images[0].path for job in jobs])
