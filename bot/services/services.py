"""All services together: what the edges are given, and how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.database import Database, FactRepository
from bot.downloads import Downloads
from bot.image_store import ImageStore
from bot.services.history import HistoryService
from bot.services.job_service import JobService
from bot.services.waiting_line import Limits
from engine import Engine


class Notes(Protocol):
    """Small things worth remembering by name, across restarts."""

    async def get(self, key: str) -> str | None: ...

    async def set(self, key: str, value: str) -> None: ...


class Services(Protocol):
    """What cogs, views and delivery may ask for."""

    @property
    def jobs(self) -> JobService: ...

    @property
    def history(self) -> HistoryService: ...

    @property
    def notes(self) -> Notes: ...


def make_services(
    *,
    engine: Engine,
    database: Database,
    image_store: ImageStore,
    limits: Limits,
    downloads: Downloads = Downloads(),  # noqa: B008  # frozen
) -> Services:
    """The services of one process. Call `jobs.resume()` once delivery listens, and `jobs.close()` before the engine's."""
    jobs = JobService(
        engine=engine, database=database, image_store=image_store, limits=limits, downloads=downloads
    )
    return _Services(jobs=jobs, history=HistoryService(database), notes=FactRepository(database))


@dataclass(frozen=True, kw_only=True)
class _Services:
    jobs: JobService
    history: HistoryService
    notes: Notes
