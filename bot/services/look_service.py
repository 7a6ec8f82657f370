"""Pictures by what they look like: search by words or example, and pictures that look alike."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

from bot.database import Database, EmbeddingRepository, JobRepository
from bot.domain import Job, StoredImage, Upload
from bot.downloads import Downloads, check_upload
from bot.errors import UserError
from bot.image_store import ImageStore
from bot.rendering import contact_sheet
from bot.services.embedder import Embedder
from bot.services.vectors import PictureVectors, from_stored, stored_form

PAGE = 6
PAGES = 10
"""How many pages of the best can be turned: a button's id carries one digit."""
MOST_PICTURES = 100_000
"""The newest of a user's pictures that are searched."""
CACHE_BYTES = 256_000_000
"""What the vectors of all users who searched lately may take; those of the last one stay whatever they take."""
READ_AT_ONCE = 1000
"""Rows of one read: on their way they are Python objects on the event loop, some milliseconds of them."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """A picture that was found."""

    job: Job
    image: StoredImage


@dataclass(frozen=True, kw_only=True)
class LooksPage:
    """Some of the pictures that were looked for, best first."""

    search_id: UUID
    number: int
    """0 is the first."""
    matches: tuple[Match, ...]
    more: bool


class LookService:
    """Reads own pictures only: no search ever sees another's."""

    def __init__(
        self,
        embedder: Embedder,
        database: Database,
        image_store: ImageStore,
        downloads: Downloads,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._embedder = embedder
        self._embeddings = EmbeddingRepository(database)
        self._jobs = JobRepository(database)
        self._image_store = image_store
        self._downloads = downloads
        self._now = now
        self._cache: OrderedDict[tuple[int, str], tuple[int, PictureVectors]] = OrderedDict()
        # Two searches of one user must not both read all of their vectors.
        self._reading = asyncio.Lock()

    async def search(self, user_id: int, *, words: str = "", example: Upload | None = None) -> LooksPage:
        """The first page of what looks like these words, like this picture, or like both.

        Raises:
            UserError: `cannot_compare`, as `check_upload` and `Downloads.picture` for the example, or why the engine could not.
        """
        model = self._embedder.model
        if model is None:
            raise UserError("cannot_compare")
        search_id, key = uuid4(), str(user_id)
        texts = [words] if words else []
        if example is None:
            vectors = await self._embedder.vectors(texts=texts, share_key=key)
        else:
            check_upload(example)
            path = self._image_store.source_path(search_id)
            try:
                await self._image_store.write(path, await self._downloads.picture(example.url))
                vectors = await self._embedder.vectors(images=[path], texts=texts, share_key=key)
            finally:
                await self._image_store.delete(search_id)
        wanted = stored_form(_middle(vectors))
        await self._embeddings.add_search(search_id, user_id, model, wanted, self._now())
        return await self._page(user_id, search_id, model, wanted, 0)

    async def page(self, user_id: int, search_id: UUID, number: int) -> LooksPage:
        """Another page of an own search. Raises UserError `search_gone`."""
        found = await self._embeddings.search(search_id, user_id)
        if found is None:
            raise UserError("search_gone")
        return await self._page(user_id, search_id, *found, number)

    async def thumbnails(self, matches: Sequence[Match]) -> bytes:
        """The pictures on one sheet, as a JPEG."""
        return await asyncio.to_thread(contact_sheet, [match.image.path for match in matches])

    async def _page(self, user_id: int, search_id: UUID, model: str, wanted: bytes, number: int) -> LooksPage:
        vectors = await self._vectors(user_id, model)
        # A picture posted alone is the same picture as its cell, so more are looked at than are shown.
        best = await asyncio.to_thread(vectors.best, from_stored(wanted), 2 * PAGE * PAGES)
        jobs = {job.id: job for job in await self._jobs.of_ids({job_id for job_id, _, _ in best})}
        matches: dict[str, Match] = {}
        for job_id, index, _ in best:
            for image in jobs[job_id].images if job_id in jobs else ():
                if image.index == index:
                    matches.setdefault(image.sha256, Match(job=jobs[job_id], image=image))
        shown = list(matches.values())[: PAGE * PAGES]
        return LooksPage(
            search_id=search_id,
            number=number,
            matches=tuple(shown[number * PAGE : (number + 1) * PAGE]),
            more=len(shown) > (number + 1) * PAGE,
        )

    async def _vectors(self, owner_id: int, model: str) -> PictureVectors:
        """All of a user's vectors, those read last time taken as they are where nothing was deleted since."""
        async with self._reading:
            total, newest = await self._embeddings.count(owner_id, model)
            known, vectors = self._cache.pop((owner_id, model), (0, PictureVectors.joined((), 0)))
            if newest != vectors.newest:
                number, newer = await self._newer(owner_id, model, vectors.newest)
                known += number
                vectors = await asyncio.to_thread(PictureVectors.joined, [vectors, *newer], MOST_PICTURES)
            if known != total:
                total, newer = await self._newer(owner_id, model, 0)
                vectors = await asyncio.to_thread(PictureVectors.joined, newer, MOST_PICTURES)
            self._cache[owner_id, model] = total, vectors
            while len(self._cache) > 1 and sum(each.size for _, each in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
            return vectors

    async def _newer(self, owner_id: int, model: str, than: int) -> tuple[int, Sequence[PictureVectors]]:
        """How many there are after the row `than`, and the newest of them that are searched."""
        number, pages = 0, deque[PictureVectors](maxlen=MOST_PICTURES // READ_AT_ONCE)
        while True:
            page = await self._embeddings.newer(owner_id, model, than=than, limit=READ_AT_ONCE)
            number += len(page.ids)
            if page.ids:
                pages.append(await asyncio.to_thread(PictureVectors, page))
                than = page.ids[-1]
            if len(page.ids) < READ_AT_ONCE:
                return number, pages


def _middle(vectors: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """What lies between them, of length 1."""
    total: npt.NDArray[np.float32] = sum(vectors[1:], start=vectors[0])
    length = float((total @ total) ** 0.5)
    return total / length if length else vectors[0]
