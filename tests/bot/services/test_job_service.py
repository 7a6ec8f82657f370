"""The one door: making, following and ending jobs."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from bot.database import DatabaseUnavailableError, JobRepository
from bot.domain import Action, Destination, Job, JobState, Order
from bot.errors import UserError
from bot.prompting import VARY_STRENGTH
from bot.services import Limits
from bot.texts import say
from engine import GenerationFailed, Loading, Operation, Safety
from tests.bot.services.bench import ADA, BOB, MODERATOR, Bench
from tests.bot.services.hand_driven_engine import small


async def refused(awaitable: object) -> UserError:
    with pytest.raises(UserError) as caught:
        await awaitable  # type: ignore[misc]
    say(f"error.{caught.value.code}", **caught.value.values)
    return caught.value


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
        with pytest.raises(DatabaseUnavailableError):
            await bench.jobs.shown(job.id, Destination(channel_id=100, message_id=5))
    await bench.sent(job)


async def test_a_job_that_ended_before_it_was_shown_is_told_of_again(bench: Bench) -> None:
    job = await bench.jobs.create(ADA, Order(action=Action.IMAGINE, source="1:0", prompt="a cat"))
    await bench.jobs.cancel(ADA, job.id)
    await bench.reaches(job, JobState.CANCELLED)
    bench.updates.clear()
    await bench.jobs.shown(job.id, Destination(channel_id=100, message_id=5))
    await bench.reaches(job, JobState.CANCELLED)


async def test_a_source_makes_one_job_even_in_a_race(bench: Bench) -> None:
    order = Order(action=Action.IMAGINE, source="1:0", prompt="a cat")
    jobs = await asyncio.gather(*(bench.jobs.create(ADA, order) for _ in range(5)))
    assert len({job.id for job in jobs}) == 1
    assert len(await bench.jobs.unfinished(ADA.user_id)) == 1
    for _ in range(12):
        await bench.order()
    assert (await bench.jobs.create(ADA, order)).id == jobs[0].id


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", "prompt_empty"),
        ("a" * 4001, "prompt_too_long"),
        ("a cat --ar 0:1", "parameter_out_of_range"),
        ("a cat --sed 1", "parameter_unknown"),
    ],
)
async def test_a_wrong_prompt_costs_nothing(bench: Bench, prompt: str, code: str) -> None:
    assert (await refused(bench.order(prompt=prompt))).code == code
    assert await bench.jobs.unfinished(ADA.user_id) == ()
    assert bench.engine.requests == {}


async def test_where_the_bot_may_not_post_nothing_starts(bench: Bench) -> None:
    assert (await refused(bench.order(replace(ADA, bot_may_post=False)))).code == "cannot_post_here"


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
    jobs = [await bench.order() for _ in range(13)]
    await bench.sent(jobs[2])
    error = await refused(bench.order())
    assert (error.code, error.values["got"], error.values["maximum"]) == ("queue_full_yours", 13, 13)
    bench.engine.seconds_per_row_step = 0.5
    bench.engine.progress(jobs[0].id.hex, 3, 4)
    await bench.reaches(jobs[0], JobState.RUNNING)
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


async def test_a_picture_is_posted_alone_without_the_gpu(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --n 2")
    job = await bench.order(BOB, None, action=Action.UPSCALE, parent_id=parent.id, index=1)
    update = await bench.reaches(job, JobState.POSTING)
    (image,) = update.images
    assert (image.index, image.seed, image.sha256) == (0, 8, parent.images[1].sha256)
    assert image.path.read_bytes() == parent.images[1].path.read_bytes()
    assert (job.owner_id, job.parent_index, job.seeds) == (BOB.user_id, 1, (8,))
    assert len(bench.engine.requests) == 1
    await bench.jobs.posted(job.id, channel_id=100, message_id=77)
    error = await refused(bench.order(ADA, None, action=Action.UPSCALE, parent_id=parent.id, index=1))
    assert error.code == "already_posted"
    assert error.values == {"job_id": job.id, "guild_id": 10, "channel_id": 100, "message_id": 77}
    elsewhere = replace(ADA, channel_id=101)
    await bench.order(elsewhere, None, action=Action.UPSCALE, parent_id=parent.id, index=1)
    done = await bench.jobs.get(job.id)
    await bench.jobs.lost(replace(done, result_message_id=76))
    assert (await bench.jobs.get(job.id)).result_message_id == 77
    await bench.jobs.lost(done)
    assert (await bench.jobs.get(job.id)).result_channel_id is None


async def test_two_clicks_on_one_u_post_it_once(bench: Bench) -> None:
    parent = await bench.made()
    orders = [
        Order(action=Action.UPSCALE, source=bench.source(), parent_id=parent.id, index=0) for _ in range(4)
    ]
    results = await asyncio.gather(
        *(bench.jobs.create(ADA, order) for order in orders), return_exceptions=True
    )
    assert sum(isinstance(result, Job) for result in results) == 1
    assert {result.code for result in results if isinstance(result, UserError)} == {"already_under_way"}


async def test_a_variation_starts_from_the_stored_picture(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --n 2")
    job = await bench.order(BOB, None, action=Action.VARY, parent_id=parent.id, index=1)
    await bench.sent(job)
    request = bench.engine.requests[job.id.hex]
    assert request.operation is Operation.IMAGE_TO_IMAGE
    assert request.init_image == bench.image_store.source_path(job.id)
    assert request.init_image.read_bytes() == parent.images[1].path.read_bytes()
    assert request.params.strength == VARY_STRENGTH
    assert (request.prompt, len(request.seeds)) == ("a cat", 2)
    assert request.seeds != parent.seeds
    assert job.parameters.seed is None
    # The parent may go: the variation and its rerolls have what they need.
    await bench.jobs.delete(ADA, parent.id)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)
    again = await bench.order(ADA, None, action=Action.REROLL, parent_id=job.id)
    await bench.sent(again)
    rolled = bench.engine.requests[again.id.hex]
    assert rolled.operation is Operation.IMAGE_TO_IMAGE
    assert rolled.init_image is not None
    assert rolled.init_image.read_bytes() == request.init_image.read_bytes()


async def test_a_reroll_keeps_all_but_the_seed(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --ar 2:1 --no dogs --n 3")
    job = await bench.order(BOB, None, action=Action.REROLL, parent_id=parent.id)
    assert (job.prompt, job.sampling, job.parameters) == (
        parent.prompt,
        parent.sampling,
        replace(parent.parameters, seed=None),
    )
    assert len(job.seeds) == 3
    assert job.seeds != parent.seeds
    assert job.owner_id == BOB.user_id


async def test_clicks_on_what_is_not_there(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --n 2")
    click = {"prompt": None, "parent_id": parent.id}
    for index in (2, -1, None):
        error = await refused(bench.order(action=Action.UPSCALE, index=index, **click))
        assert (error.code, error.values["count"]) == ("no_such_picture", 2)
        assert (
            await refused(bench.order(action=Action.VARY, index=index, **click))
        ).code == "no_such_picture"
    await bench.jobs.delete(ADA, parent.id)
    for action in (Action.UPSCALE, Action.VARY, Action.REROLL):
        assert (await refused(bench.order(action=action, index=0, **click))).code == "job_gone"
    assert (await refused(bench.order(action=Action.REROLL, prompt=None))).code == "job_gone"
    assert (await refused(bench.jobs.get(parent.id))).code == "job_gone"


async def test_a_withheld_picture_is_told_of_and_not_worked_with(bench: Bench) -> None:
    job = await bench.order(prompt="a cat --n 2")
    await bench.sent(job)
    bench.engine.make_picture(job.id.hex, 0, Safety.FLAGGED)
    bench.engine.make_picture(job.id.hex, 1, Safety.SAFE)
    bench.engine.complete(job.id.hex)
    update = await bench.reaches(job, JobState.POSTING)
    assert [image.safety for image in update.images] == [Safety.FLAGGED, Safety.SAFE]
    click = {"prompt": None, "parent_id": job.id, "index": 0}
    assert (await refused(bench.order(action=Action.VARY, **click))).code == "picture_flagged"
    assert (await refused(bench.order(action=Action.UPSCALE, **click))).code == "picture_flagged"


async def test_a_model_that_is_gone_is_replaced(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --ar 2:1")
    await bench.jobs.close()
    async with bench.process(small(name="new", native_width=96, native_height=96)):
        job = await bench.order(BOB, None, action=Action.VARY, parent_id=parent.id, index=0)
        await bench.sent(job)
        request = bench.engine.requests[job.id.hex]
        assert (request.model, request.params.width) == ("new", 128)
        assert request.params.strength == VARY_STRENGTH


async def test_a_waiting_job_whose_model_went_can_be_retried_with_another(bench: Bench) -> None:
    job = await bench.order(prompt="a cat --seed 7")
    await bench.jobs.close()
    async with bench.process(small(name="new", title="New")):
        update = await bench.reaches(job, JobState.FAILED)
        assert update.error is not None
        assert update.error.values == {"model": "test", "default": "New"}
        again = await bench.jobs.retry(ADA, job.id, "retry:0")
        assert (again.model, again.seeds) == ("new", job.seeds)


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


async def test_a_model_that_cannot_start_from_a_picture_says_so(bench: Bench) -> None:
    parent = await bench.made()
    await bench.jobs.close()
    async with bench.process(small(operations=(Operation.TEXT_TO_IMAGE,))):
        error = await refused(bench.order(prompt=None, action=Action.VARY, parent_id=parent.id, index=0))
        assert error.code == "request_rejected"


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
    for asker in (elsewhere, private):
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


async def test_missing_pictures_fail_a_job(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.make_picture(job.id.hex, 0)
    bench.engine.complete(job.id.hex)
    update = await bench.reaches(job, JobState.FAILED)
    assert update.error is not None
    assert update.error.values == {"got": 1, "expected": 4}


async def test_loading_is_told_with_sizes(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.streams[job.id.hex].put(Loading("test", 0.25, 1_000_000_000, 4_000_000_000))
    await bench.until(lambda: any(update.loading for update in bench.updates.get(job.id, [])))
    update = bench.updates[job.id][-1]
    assert (update.loading, update.fraction) == ("Test (1.0 GB of 4.0 GB)", 0.25)


async def test_what_cannot_be_posted_waits_in_history(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)
    await bench.jobs.not_postable(job.id, UserError("post_refused"))
    stored = await bench.jobs.get(job.id)
    assert (stored.state, stored.result_message_id, stored.error_code) == (
        JobState.DONE,
        None,
        "post_refused",
    )
    page = await bench.history.page(ADA.user_id)
    assert page.jobs == (stored,)
    await bench.jobs.reposted(job.id, channel_id=5, message_id=6)
    assert (await bench.jobs.get(job.id)).result_message_id == 6


async def test_history_pages_and_thumbnails(bench: Bench) -> None:
    jobs = [await bench.made(prompt=f"cat {number} --n 1") for number in range(3)]
    first = await bench.history.page(ADA.user_id, limit=2)
    assert ([job.id for job in first.jobs], first.more) == ([jobs[2].id, jobs[1].id], True)
    second = await bench.history.page(ADA.user_id, before=first.jobs[-1].id, limit=2)
    assert ([job.id for job in second.jobs], second.more) == ([jobs[0].id], False)
    assert (await bench.history.thumbnails(first.jobs)).startswith(b"\xff\xd8")
    assert (await bench.history.page(BOB.user_id)).jobs == ()
    assert (await bench.history.page(ADA.user_id, before=uuid4())).jobs == ()
