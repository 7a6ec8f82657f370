"""One job at the engine: what is stored and told of it, and how it ends when something breaks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.database import DatabaseUnavailableError, JobRepository
from bot.domain import JobState
from bot.prompting import unheeded
from engine import EmbeddingReady, EmbedRequest, GenerationFailed, Loading, Operation
from tests.bot.services.bench import ADA, Bench
from tests.bot.services.hand_driven_engine import small


async def test_a_job_goes_from_order_to_pictures(bench: Bench) -> None:
    job = await bench.order(prompt="a cat --seed 7 --no dogs")
    assert (job.state, job.seeds, job.prompt) == (JobState.WAITING, (7, 8, 9, 10), "a cat")
    await bench.sent(job)
    await bench.reaches(job, JobState.WAITING)
    bench.engine.progress(job.id.hex, 1, 4, previews=True)
    running = await bench.reaches(job, JobState.RUNNING)
    assert running.fraction == 0.25
    assert running.preview is not None
    assert running.preview.startswith(b"\xff\xd8")
    for index in (2, 0, 3, 1):
        bench.engine.make_picture(job.id.hex, index)
    bench.engine.complete(job.id.hex)
    update = await bench.reaches(job, JobState.POSTING)
    stored = await bench.jobs.get(job.id)
    assert (update.images, update.unread_words, update.unknown_words) == (
        stored.images,
        stored.unread_words,
        stored.unknown_words,
    )
    assert [(image.index, image.seed) for image in stored.images] == [(0, 7), (1, 8), (2, 9), (3, 10)]
    assert (stored.unread_words, stored.unknown_words, stored.device_seconds) == (("late",), ("zorb",), 1.5)
    assert stored.started_at is not None
    for image in stored.images:
        with Image.open(image.path) as opened:
            assert opened.size == (64, 64)
            text = str(opened.info["parameters"])
        assert text.startswith("a cat\nNegative prompt: dogs\nSteps: 20, ")
        assert f"Seed: {image.seed}," in text
    assert [waiting.id for waiting in await bench.jobs.posting_jobs()] == [job.id]
    await bench.jobs.posted(job.id, channel_id=100, message_id=200)
    done = await bench.jobs.get(job.id)
    assert (done.state, done.result_channel_id, done.result_message_id) == (JobState.DONE, 100, 200)


@pytest.mark.parametrize(
    ("done", "total", "told"),
    [
        (1_000_000_000, 4_000_000_000, "Test (1.0 GB of 4.0 GB)"),
        (12_000_000, 48_000_000, "Test (12 MB of 48 MB)"),
    ],
)
async def test_loading_is_told_with_sizes(bench: Bench, done: int, total: int, told: str) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.streams[job.id.hex].put(Loading("test", 0.25, done, total))
    await bench.until(lambda: any(update.loading for update in bench.updates.get(job.id, [])))
    update = bench.updates[job.id][-1]
    assert (update.loading, update.fraction) == (told, 0.25)


async def test_what_a_library_said_stays_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.fail(job.id.hex, GenerationFailed("generation_failed", "/srv/models/x.bin is broken."))
    update = await bench.reaches(job, JobState.FAILED)
    assert update.error is not None
    assert (update.error.code, update.error.values) == ("internal_error", {})
    assert "/srv/models/x.bin is broken." in caplog.text


async def test_a_dead_engine_is_said_and_wedges_nothing(bench: Bench) -> None:
    jobs = [await bench.order() for _ in range(5)]
    await bench.sent(jobs[2])
    bench.engine.die()
    for job in jobs:
        update = await bench.reaches(job, JobState.FAILED)
        assert update.error is not None
        assert update.error.code == "engine_dead"
        assert await bench.state(job) is JobState.FAILED


async def test_a_disk_that_is_full_fails_one_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job, second = await bench.order(), await bench.order()
    await bench.sent(second)
    with monkeypatch.context() as patch:

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("os.fsync", full)
        bench.engine.run(job.id.hex)
        update = await bench.reaches(job, JobState.FAILED)
    assert update.error is not None
    assert update.error.values == {"reason": "No space left on device"}
    bench.engine.run(second.id.hex)
    await bench.reaches(second, JobState.POSTING)


@pytest.mark.parametrize("failures", [2, 3])
async def test_a_database_that_is_busy_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """It is asked again; where it stays busy, the job fails and can be retried."""
    monkeypatch.setattr("bot.services.job_run.BUSY_DELAYS", (0.0, 0.0))
    finish, calls = JobRepository.finish, []

    async def busy_at_first(*arguments: Any, **columns: Any) -> bool:
        calls.append(arguments)
        if len(calls) <= failures:
            raise DatabaseUnavailableError("database is locked")
        return await finish(*arguments, **columns)

    monkeypatch.setattr(JobRepository, "finish", busy_at_first)
    job = await bench.order()
    await bench.sent(job)
    bench.engine.run(job.id.hex)
    if failures == 2:
        await bench.reaches(job, JobState.POSTING)
        assert len((await bench.jobs.get(job.id)).images) == 4
        return
    assert (await bench.reaches(job, JobState.FAILED)).error is not None
    assert (await bench.jobs.retry(ADA, job.id, "retry:0")).seeds == job.seeds


async def test_missing_pictures_fail_a_job(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.make_picture(job.id.hex, 0)
    bench.engine.complete(job.id.hex)
    update = await bench.reaches(job, JobState.FAILED)
    assert update.error is not None
    assert update.error.values == {"got": 1, "expected": 4}


CLIP = small(name="clip", operations=(Operation.EMBED,))


async def compared(bench: Bench) -> EmbedRequest:
    """What the engine is asked to compare, once it is."""
    await bench.until(
        lambda: any(isinstance(asked, EmbedRequest) for asked in bench.engine.requests.values())
    )
    return next(asked for asked in bench.engine.requests.values() if isinstance(asked, EmbedRequest))


async def test_the_best_pictures_come_first_where_asked(tmp_path: Path) -> None:
    """Each keeps its seed, in its row and in its own metadata."""
    async with Bench(tmp_path).process(small(), CLIP) as bench:
        job = await bench.order(prompt="a cat --seed 7 --best")
        await bench.sent(job)
        bench.engine.run(job.id.hex)
        asked = await compared(bench)
        assert asked.texts == ("a cat",)
        assert len(asked.images) == 4
        for index, degrees in enumerate((80, 10, 45, 0, 0)):
            vector = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)
            bench.engine.streams[asked.request_id].put(EmbeddingReady(index, vector))
        bench.engine.complete(asked.request_id)
        update = await bench.reaches(job, JobState.POSTING)
        assert [(image.index, image.seed) for image in update.images] == [(0, 10), (1, 8), (2, 9), (3, 7)]
        for image in (await bench.jobs.get(job.id)).images:
            assert hashlib.sha256(image.path.read_bytes()).hexdigest() == image.sha256
            with Image.open(image.path) as opened:
                assert f"Seed: {image.seed}," in str(opened.info["parameters"])


async def test_pictures_that_cannot_be_compared_are_shown_as_they_came(tmp_path: Path) -> None:
    async with Bench(tmp_path).process(small(), CLIP) as bench:
        job = await bench.order(prompt="a cat --seed 7 --best")
        await bench.sent(job)
        bench.engine.run(job.id.hex)
        asked = await compared(bench)
        bench.engine.fail(asked.request_id, GenerationFailed("out_of_memory", "No room."))
        update = await bench.reaches(job, JobState.POSTING)
        assert [image.seed for image in update.images] == [7, 8, 9, 10]


async def test_without_anything_that_compares_best_is_said_to_be_unheeded(bench: Bench) -> None:
    job = await bench.made(prompt="a cat --best")
    assert unheeded(job) == ("--best",)
