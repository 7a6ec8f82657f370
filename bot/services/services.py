"""All services together: what the edges are given, and how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.database import Database, FactRepository
from bot.downloads import Downloads
from bot.image_store import ImageStore
from bot.services.embedder import Embedder
from bot.services.embedding_service import EmbeddingService
from bot.services.history import HistoryService
from bot.services.job_service import JobService
from bot.services.likeness_service import LikenessService
from bot.services.look_service import LookService
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
    def looks(self) -> LookService: ...

    @property
    def embeddings(self) -> EmbeddingService: ...

    @property
    def likeness(self) -> LikenessService: ...

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
    """The services of one process. Call `jobs.resume()` and `embeddings.start()` once delivery listens, and
    close both before the engine's."""
    embedder = Embedder(engine)
    likeness = LikenessService(embedder, database)
    embeddings = EmbeddingService(embedder, database, likeness.look_at)
    return _Services(
        jobs=JobService(
            engine=engine,
            database=database,
            image_store=image_store,
            limits=limits,
            downloads=downloads,
            on_posted=embeddings.posted,
        ),
        history=HistoryService(database),
        looks=LookService(embedder, database, image_store, downloads),
        embeddings=embeddings,
        likeness=likeness,
        notes=FactRepository(database),
    )


@dataclass(frozen=True, kw_only=True)
class _Services:
    jobs: JobService
    history: HistoryService
    looks: LookService
    embeddings: EmbeddingService
    likeness: LikenessService
    notes: Notes
