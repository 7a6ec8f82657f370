"""Own pictures by what they look like, with an engine whose vectors the test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from bot.database import Database, EmbeddingRepository, JobRepository, Vectors, open_database
from bot.domain import Job, JobState, Likeness, Upload
from bot.downloads import Downloads, plain_png
from bot.image_store import ImageStore
from bot.rendering import encode_png
from bot.services import LookService
from bot.services.embedder import Embedder
from bot.services.embedding_service import EmbeddingService
from bot.services.likeness_service import LikenessService
from bot.services.look_service import PAGE, PAGES
from bot.services.vectors import PictureVectors, stored_form
from engine import EmbeddingReady, FinishReason, GenerationFailed, Lane, Operation, RequestOutput
from tests.bot.database.test_job_repository import new_job, pictures
from tests.bot.services.bench import refused
from tests.bot.services.hand_driven_engine import HandDrivenEngine, small

CLIP = small(name="clip", operations=frozenset({Operation.EMBED}))
OWNER = 42


class LookingEngine(HandDrivenEngine):
    """Answers every request for vectors at once: by the picture's folder name, or by the text; None: it cannot."""

    def __init__(self) -> None:
        super().__init__(small(), CLIP)
        self.seen: dict[str, int] = {}
        self.asked: list[object] = []
        self.unreadable: set[Path] = set()
        self.broken = False

    def submit(self, request):
        stream = super().submit(request)
        self.asked.append(request)
        if self.broken:
            self.fail(request.request_id, GenerationFailed("model_load_failed", "No such weights."))
        elif self.unreadable & set(request.images):
            self.fail(request.request_id, GenerationFailed("picture_unreadable", "Not a picture."))
        else:
            for index, thing in enumerate((*request.images, *request.texts)):
                angle = self.seen.get(str(thing), self.seen.get(Path(thing).parent.name, 0))
                stream.put(EmbeddingReady(index, at(angle)))
            self._end(
                request.request_id,
                RequestOutput(request_id=request.request_id, finish_reason=FinishReason.COMPLETED),
            )
        return stream


def at(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.fixture
def image_store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "pictures")


@pytest.fixture
async def database(tmp_path: Path, image_store: ImageStore) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "fourfold.db", image_store.path) as database:
        yield database


@pytest.fixture
def engine() -> LookingEngine:
    return LookingEngine()


class Sent(Downloads):
    """Attachments whose address is what lies there."""

    async def picture(self, url: str) -> bytes:
        return plain_png(bytes.fromhex(url))


def sent(data: bytes) -> Upload:
    return Upload(url=data.hex(), name="example.png", size=len(data), content_type="image/png")


@pytest.fixture
def looks(engine: LookingEngine, database: Database, image_store: ImageStore) -> LookService:
    return LookService(Embedder(engine), database, image_store, Sent())


async def posted(database: Database, number: int = 0, count: int = 1, **changes: object) -> Job:
    """A finished job whose pictures each have a hash of their own."""
    jobs = JobRepository(database)
    job = await jobs.add(new_job(number, **changes))
    images = [
        type(image)(**{**vars(image), "sha256": uuid4().hex + uuid4().hex}) for image in pictures(job, count)
    ]
    await jobs.finish(job.id, [JobState.WAITING], images, finished_at=job.created_at)
    await jobs.move(job.id, [JobState.POSTING], JobState.DONE)
    return await jobs.get(job.id)


async def seen_all(database: Database, engine: LookingEngine, *news: Job) -> None:
    """A process's work on vectors, from start to close, once everything is done."""
    service = EmbeddingService(
        Embedder(engine), database, LikenessService(Embedder(engine), database).look_at
    )
    service.start()
    for job in news:
        service.posted(job.id)
    async with asyncio.timeout(20):
        await service.idle.wait()
    await service.close()


async def test_the_best_come_first_and_pages_turn_after_a_restart(database, engine, looks, image_store):
    jobs = [await posted(database, number) for number in range(8)]
    for number, job in enumerate(jobs):
        engine.seen[str(job.id)] = 10 * number
    engine.seen["a boat"] = 32
    await seen_all(database, engine)
    assert all(request.lane is Lane.RELAXED for request in engine.asked)
    first = await looks.search(OWNER, words="a boat")
    again = LookService(Embedder(engine), database, image_store, Sent())
    second = await again.page(OWNER, first.search_id, 1)
    found = [match.job for match in (*first.matches, *second.matches)]
    assert found == [jobs[number] for number in (3, 4, 2, 5, 1, 6, 0, 7)]
    assert (len(first.matches), first.more, second.more) == (PAGE, True, False)
    assert (await looks.search(7, words="a boat")).matches == ()
    assert (await refused(looks.page(7, first.search_id, 1))).code == "search_gone"
    assert (await refused(looks.page(OWNER, uuid4(), 1))).code == "search_gone"


async def test_an_example_leads_to_its_likes_and_is_not_kept(database, engine, looks, tmp_path):
    near, far = await posted(database, 1), await posted(database, 2)
    engine.seen |= {str(near.id): 5, str(far.id): 80}
    await seen_all(database, engine)
    example = encode_png(np.zeros((700, 400, 3), np.uint8), "")
    page = await looks.search(OWNER, example=sent(example))
    assert [match.job for match in page.matches] == [near, far]
    assert not list((tmp_path / "pictures").rglob("*.png"))
    assert (await refused(looks.search(OWNER, example=sent(b"<svg/>")))).code == "upload_unreadable"
    large = replace(sent(example), size=10**9)
    assert (await refused(looks.search(OWNER, example=large))).code == "upload_too_large"


async def test_new_and_deleted_pictures_are_told_from_those_in_memory(database, engine, looks):
    jobs = [await posted(database, number, count=4) for number in range(3)]
    await seen_all(database, engine)
    assert len((await looks.search(OWNER, words="x")).matches) == PAGE
    assert await JobRepository(database).delete(jobs[0].id, [JobState.DONE])
    jobs.append(await posted(database, 9, count=4))
    engine.seen |= {str(jobs[-1].id): 1, "x": 1}
    await seen_all(database, engine)
    assert await EmbeddingRepository(database).count(OWNER, "clip") == (12, 16)
    page = await looks.search(OWNER, words="x")
    assert [match.job for match in page.matches[:4]] == [jobs[-1]] * 4
    everything = page.matches + (await looks.page(OWNER, page.search_id, 1)).matches
    assert {match.job.id for match in everything} == {job.id for job in jobs[1:]}


async def test_a_new_picture_is_seen_and_one_that_cannot_be_read_stops_nothing(database, engine, looks):
    job = await posted(database, 1, count=4)
    engine.unreadable = {job.images[1].path}
    await seen_all(database, engine, job)
    assert (await EmbeddingRepository(database).count(OWNER, "clip"))[0] == 3
    other = await posted(database, 2)
    await seen_all(database, engine, other)
    assert (await EmbeddingRepository(database).count(OWNER, "clip"))[0] == 4


async def test_a_model_that_cannot_be_loaded_is_logged_once_and_said(database, engine, looks, caplog):
    first, second = await posted(database, 1), await posted(database, 2)
    engine.broken = True
    await seen_all(database, engine, first, second)
    assert len([line for line in caplog.messages if "cannot be compared" in line]) == 1
    assert (await refused(looks.search(OWNER, words="x"))).code == "model_load_failed"
    engine.broken = False
    await seen_all(database, engine)
    assert (await EmbeddingRepository(database).count(OWNER, "clip"))[0] == 2


async def test_without_such_a_model_nothing_is_asked_and_a_sentence_says_so(database, engine, looks):
    engine.known = (small(),)
    service = EmbeddingService(
        Embedder(engine), database, LikenessService(Embedder(engine), database).look_at
    )
    service.start()
    service.posted((await posted(database)).id)
    await service.close()
    assert engine.asked == []
    assert (await refused(looks.search(OWNER, words="x"))).code == "cannot_compare"


async def test_a_job_that_looks_like_an_earlier_one_says_so(database, engine):
    earlier, other, theirs = (
        await posted(database, 1, count=2),
        await posted(database, 2),
        await posted(database, 3, owner_id=7),
    )
    engine.seen |= {str(earlier.images[1].path): 60, str(other.id): 30, str(theirs.id): 88}
    await seen_all(database, engine, earlier, other, theirs)
    job = await posted(database, 4, count=3)
    engine.seen |= {str(image.path): angle for image, angle in zip(job.images, (90, 61, 90), strict=True)}
    await seen_all(database, engine, job)
    repository = JobRepository(database)
    assert (await repository.get(job.id)).likeness == Likeness(
        cells=(0, 2), earlier_job=earlier.id.hex, earlier_index=1, index=1
    )
    for unlike in (earlier, other, theirs):
        assert (await repository.get(unlike.id)).likeness is None


async def test_one_picture_posted_alone_is_found_once(database, engine, looks):
    job = await posted(database, 1)
    jobs = JobRepository(database)
    copy = await jobs.add(new_job(2))
    await jobs.finish(copy.id, [JobState.WAITING], job.images, finished_at=job.created_at)
    await jobs.move(copy.id, [JobState.POSTING], JobState.DONE)
    await seen_all(database, engine)
    assert len((await looks.search(OWNER, words="x")).matches) == 1


def test_the_nearest_of_many_are_those_of_a_plain_sort():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(20_000, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = tuple(range(1, len(rows) + 1))
    owners = tuple((uuid4(), number % 4) for number in ids)
    vectors = PictureVectors(Vectors(ids=ids, pictures=owners, data=tuple(map(stored_form, rows))))
    found = vectors.best(rows[17], PAGE * PAGES)
    expected = np.argsort(-(rows.astype(np.float16).astype(np.float32) @ rows[17]), kind="stable")
    assert [(job_id, index) for job_id, index, _ in found[:10]] == [owners[row] for row in expected[:10]]
    assert len(found) == PAGE * PAGES
    assert vectors.best(np.ones(3, np.float32), 5) == []


async def test_every_query_uses_an_index(database):
    plans = {
        "SELECT count(*), max(id) FROM picture_embeddings WHERE owner_id = 1 AND model = 'm'": (
            "COVERING INDEX ix_picture_embeddings_owner_id_model"
        ),
        "SELECT vector FROM picture_embeddings WHERE owner_id = 1 AND model = 'm' AND id > 5 ORDER BY id": (
            "INDEX ix_picture_embeddings_owner_id_model (owner_id=? AND model=? AND rowid>?)"
        ),
        "SELECT 1 FROM picture_embeddings WHERE job_id = 1 AND \"index\" = 0 AND model = 'm'": (
            "uq_picture_embeddings_job_id_index_model|sqlite_autoindex_picture_embeddings_1"
        ),
        "DELETE FROM searches WHERE created_at < 1": "ix_searches_created_at",
        'SELECT job_id, "index" FROM images WHERE (job_id, "index") > (1, 2) ORDER BY job_id, "index"': (
            "sqlite_autoindex_images_1"
        ),
    }
    async with database.db_session() as db_session:
        for query, index in plans.items():
            rows = (await db_session.execute(text(f"EXPLAIN QUERY PLAN {query}"))).all()
            plan = " ".join(row.detail for row in rows)
            assert any(name in plan for name in index.split("|")), plan
            assert "TEMP B-TREE" not in plan
