"""The one door: accepting, showing and ending jobs."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.database import DatabaseUnavailableError, JobRepository
from bot.domain import Action, Destination, JobState, Order
from bot.services import Limits
from bot.texts import say
from engine import GenerationFailed
from tests.bot.services.bench import ADA, BOB, MODERATOR, Bench, refused


async def test_nothing_runs_before_it_is_shown(bench: Bench) -> None:
    job = await bench.jobs.create(ADA, Order(action=Action.IMAGINE, source="1:0", prompt="a cat"))
    second = await bench.order(BOB)
    await bench.sent(second)
    assert bench.engine.waiting == [second.id.hex]
    destination = Destination(channel_id=100, message_id=5, token="t", expires_at=bench.now())
    await asyncio.gather(*(bench.jobs.shown(job.id, destination) for _ in range(3)))
    await bench.sent(job)
    assert (await bench.jobs.get(job.id)).destination == destination


async def test_a_job_that_is_never_shown_still_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.services.job_service.SHOWN_WITHIN", 0.0)
    job = await bench.jobs.create(ADA, Order(action=Action.IMAGINE, source="1:0", prompt="a cat"))
    await bench.sent(job)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)


async def test_a_job_whose_message_could_not_be_noted_still_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.services.job_service.SHOWN_WITHIN", 0.1)
    job = await bench.jobs.create(ADA, Order(action=Action.IMAGINE, source="1:0", prompt="a cat"))

    async def busy(*_arguments: object) -> None:
        raise DatabaseUnavailableError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(JobRepository, "set_destination", busy)
        await bench.jobs.shown(job.id, Destination(channel_id=100, message_id=5))
        assert bench.engine.requests == {}
    await bench.sent(job)


async def test_a_job_that_ended_before_it_was_shown_is_told_of_again(bench: Bench) -> None:
    job = await bench.jobs.create(ADA, Order(action=Action.IMAGINE, source="1:0", prompt="a cat"))
    await bench.jobs.cancel(ADA, job.id)
    await bench.reaches(job, JobState.CANCELLED)
    bench.updates.clear()
    await bench.jobs.shown(job.id, Destination(channel_id=100, message_id=5))
    await bench.reaches(job, JobState.CANCELLED)


async def test_what_is_asked_for_as_the_bot_stops_runs_after_the_next_start(bench: Bench) -> None:
    await bench.jobs.close()
    job = await bench.order()
    assert bench.engine.requests == {}
    again = Bench(bench.folder)
    again.go_on_from(bench)
    async with again.process():
        assert again.resumed == 1
        await again.sent(job)


async def test_a_source_makes_one_job_even_in_a_race(bench: Bench) -> None:
    order = Order(action=Action.IMAGINE, source="1:0", prompt="a cat")
    jobs = await asyncio.gather(*(bench.jobs.create(ADA, order) for _ in range(5)))
    assert len({job.id for job in jobs}) == 1
    assert len(await bench.jobs.unfinished(ADA.user_id)) == 1
    for _ in range(9):
        await bench.order()
    assert (await bench.jobs.create(ADA, order)).id == jobs[0].id


async def test_the_fourth_job_waits_until_one_ends(bench: Bench) -> None:
    jobs = [await bench.order() for _ in range(5)]
    other = await bench.order(BOB)
    await bench.sent(other)
    await bench.sent(jobs[2])
    assert bench.engine.waiting == [*(job.id.hex for job in jobs[:3]), other.id.hex]
    # Four requests wait at the engine, and then it is the fourth and the fifth job's turn.
    assert (await bench.reaches(jobs[3], JobState.WAITING)).place == 5
    assert (await bench.reaches(jobs[4], JobState.WAITING)).place == 6
    bench.engine.run(jobs[1].id.hex)
    await bench.sent(jobs[3])
    assert jobs[4].id.hex not in bench.engine.streams
    await bench.jobs.cancel(ADA, jobs[0].id)
    await bench.sent(jobs[4])


async def test_a_user_with_a_full_queue_is_refused_with_a_time(bench: Bench) -> None:
    jobs = [await bench.order() for _ in range(10)]
    await bench.sent(jobs[2])
    error = await refused(bench.order())
    assert (error.code, error.values["got"], error.values["maximum"]) == ("queue_full_yours", 10, 10)
    bench.engine.seconds_per_row_step = 0.5
    bench.engine.progress(jobs[0].id.hex, 3, 4)
    await bench.reaches(jobs[0], JobState.RUNNING)
    # It begins, which frees its place among the ten that may wait.
    await bench.order()
    # Half a second for each of the last fourth of 4 pictures × 20 steps × 2 rows.
    assert (await refused(bench.order())).values["eta"] == pytest.approx(20.0)
    await bench.order(BOB)
    await bench.jobs.cancel_newest(ADA)
    await bench.order()


async def test_everybody_together_is_limited_too(bench: Bench) -> None:
    async with Bench(bench.folder / "other", Limits(max_waiting=2)).process() as small_bench:
        await small_bench.order(ADA)
        await small_bench.order(BOB)
        assert (await refused(small_bench.order(MODERATOR))).code == "queue_full"


async def test_a_busy_database_refuses_and_keeps_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.database.database.BUSY_TIMEOUT_MS", 10)
    bench = Bench(tmp_path, Limits(max_running_per_user=1, max_waiting_per_user=0))
    async with bench.process():
        with closing(sqlite3.connect(tmp_path / "fourfold.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await refused(bench.order())).code == "database_busy"
        await bench.sent(await bench.order())


async def test_cancel_ends_a_waiting_a_held_and_a_running_job(bench: Bench) -> None:
    jobs = [await bench.order() for _ in range(4)]
    await bench.sent(jobs[2])
    bench.engine.progress(jobs[0].id.hex, 1, 4)
    bench.engine.make_picture(jobs[0].id.hex, 0)
    await bench.reaches(jobs[0], JobState.RUNNING)
    assert (await refused(bench.jobs.cancel(BOB, jobs[0].id))).code == "not_yours"
    for job in (jobs[3], jobs[1], jobs[0]):
        assert (await bench.jobs.cancel(ADA, job.id)).state is JobState.CANCELLED
        await bench.reaches(job, JobState.CANCELLED)
    assert bench.engine.waiting == [jobs[2].id.hex]
    assert (await refused(bench.jobs.cancel(ADA, jobs[0].id))).code == "too_late"
    assert (await bench.jobs.cancel(MODERATOR, jobs[2].id)).owner_id == ADA.user_id
    assert (await refused(bench.jobs.cancel_newest(ADA))).code == "nothing_to_cancel"
    await bench.settled()
    assert not bench.image_store.path(jobs[0].id, 0).parent.exists()
    assert [update.state for update in bench.updates[jobs[0].id]][-1] is JobState.CANCELLED


async def test_what_is_being_posted_is_too_late_to_cancel(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)
    assert (await refused(bench.jobs.cancel(ADA, job.id))).code == "too_late"
    assert (await refused(bench.jobs.delete(ADA, job.id))).code == "posting_now"


async def test_delete_removes_rows_and_files(bench: Bench) -> None:
    done = await bench.made()
    running = await bench.order()
    await bench.sent(running)
    assert (await refused(bench.jobs.delete(BOB, done.id))).code == "not_yours"
    elsewhere = replace(MODERATOR, guild_id=11)
    private = replace(MODERATOR, guild_id=None)
    other_channel = replace(MODERATOR, channel_id=101)
    for asker in (elsewhere, private, other_channel):
        assert (await refused(bench.jobs.delete(asker, done.id))).code == "not_yours"
        assert (await refused(bench.jobs.cancel(asker, running.id))).code == "not_yours"
    assert await bench.jobs.delete(MODERATOR, done.id) == done
    await bench.jobs.delete(ADA, running.id)
    assert bench.engine.waiting == []
    for job in (done, running):
        assert (await refused(bench.jobs.get(job.id))).code == "job_gone"
        assert not bench.image_store.path(job.id, 0).parent.exists()
    await bench.jobs.posted(done.id, channel_id=1, message_id=2)


async def test_a_failed_job_says_why_and_can_be_retried(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --n 2")
    job = await bench.order(ADA, None, action=Action.VARY, parent_id=parent.id, index=0)
    await bench.sent(job)
    assert (await refused(bench.jobs.retry(ADA, job.id, "retry:0"))).code == "not_failed"
    bench.engine.make_picture(job.id.hex, 0)
    bench.engine.fail(job.id.hex, GenerationFailed("out_of_memory", "/srv/secret is full."))
    update = await bench.reaches(job, JobState.FAILED)
    assert update.error is not None
    assert "does not have the memory" in say(f"error.{update.error.code}", **update.error.values)
    failed = await bench.jobs.get(job.id)
    assert (failed.error_code, failed.error_values) == ("out_of_memory", {})
    assert not bench.image_store.path(job.id, 0).exists()
    await bench.jobs.delete(ADA, parent.id)
    again = await bench.jobs.retry(BOB, job.id, "retry:1")
    assert (await bench.jobs.retry(BOB, job.id, "retry:1")).id == again.id
    await bench.jobs.shown(again.id, Destination(channel_id=100))
    await bench.sent(again)
    first, second = bench.engine.requests[job.id.hex], bench.engine.requests[again.id.hex]
    assert replace(second, request_id="", init_image=None, share_key="", submitted_at=0) == replace(
        first, request_id="", init_image=None, share_key="", submitted_at=0
    )
    assert (again.owner_id, again.state) == (BOB.user_id, JobState.WAITING)
