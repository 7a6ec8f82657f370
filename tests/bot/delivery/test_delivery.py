"""Delivery on the real discord.py and the local stand-in; what jobs say is scripted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from bot.delivery import Delivery
from bot.delivery.pacing import Clock
from bot.domain import Destination, Job, JobState, JobUpdate, StoredImage
from bot.domain.job import nonce_of
from bot.errors import UserError
from bot.playground import Playground, UserSession
from bot.playground.permissions import Permission
from bot.rendering import encode_png
from bot.services import Limits
from bot.services.update_feed import UpdateFeed
from bot.views.panels import result_buttons, unfinished_buttons
from engine import Safety
from tests.bot.examples import JOB, MODEL
from tests.bot.stage import bot_online


class ScriptedJobs:
    """What delivery asks of jobs, with a record of what it was told."""

    limits = Limits()

    def __init__(self) -> None:
        self.rows: dict[UUID, Job] = {}
        self.told: list[tuple[Any, ...]] = []
        self.dropped_tokens: list[UUID] = []
        self.closed_jobs: list[UUID] = []
        self.feed = UpdateFeed()
        self.destinations: asyncio.Queue[Destination] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def create(self, asker, order) -> Job:
        job = replace(JOB, owner_id=asker.user_id, guild_id=asker.guild_id)
        job = replace(job, destination=Destination(channel_id=asker.channel_id))
        self.rows[job.id] = job
        return job

    async def shown(self, job_id: UUID, destination: Destination) -> None:
        self.rows[job_id] = replace(self.rows[job_id], destination=destination)
        self.destinations.put_nowait(destination)

    async def get(self, job_id: UUID) -> Job:
        if job_id not in self.rows:
            raise UserError("job_gone")
        return self.rows[job_id]

    def updates(self) -> AsyncIterator[JobUpdate]:
        return self.feed.read()

    async def posted(self, job_id: UUID, *, channel_id: int, message_id: int) -> None:
        self.rows[job_id] = replace(
            self.rows[job_id],
            state=JobState.DONE,
            result_channel_id=channel_id,
            result_message_id=message_id,
        )
        self._tell("posted", job_id, channel_id, message_id)

    async def not_postable(self, job_id: UUID, error: UserError) -> None:
        self.rows[job_id] = replace(
            self.rows[job_id],
            state=JobState.DONE,
            error_code=error.code,
        )
        self._tell("not_postable", job_id, error.code)

    async def drop_token(self, job_id: UUID) -> None:
        self.dropped_tokens.append(job_id)

    async def posting_jobs(self) -> tuple[Job, ...]:
        return tuple(job for job in self.rows.values() if job.state is JobState.POSTING)

    async def closed(self, job_id: UUID) -> None:
        self.closed_jobs.append(job_id)

    async def unclosed_jobs(self) -> tuple[Job, ...]:
        return ()

    async def resume(self) -> int:
        return 0

    async def close(self) -> None:
        self.feed.close()

    def models(self):
        return (MODEL,)

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        self._changed.set()

    async def until_told(self) -> tuple[Any, ...]:
        while not self.told:
            await self._changed.wait()
        return self.told[-1]

    def say(self, state: JobState, job: Job = JOB, **fields: Any) -> None:
        self.rows[job.id] = replace(self.rows[job.id], state=state)
        self.feed.put(JobUpdate(job_id=job.id, state=state, **fields))


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


class TestClock:
    """Wall time moves when told; waiting between edits takes no time."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.slept: list[float] = []
        self.hold = False
        """Whoever waits now waits for ever."""
        self._held = asyncio.Event()

    def clock(self) -> Clock:
        return Clock(wall=lambda: (datetime.now(UTC) + self.ahead).timestamp(), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.hold:
            self._held.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def until_held(self) -> None:
        await self._held.wait()


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with Playground(home=None) as playground:
        yield playground


@pytest.fixture
def user(playground) -> UserSession:
    return playground.user("Mia")


@pytest.fixture
def jobs() -> ScriptedJobs:
    return ScriptedJobs()


@pytest.fixture
def services(jobs):
    return SimpleNamespace(jobs=jobs, history=None, notes=Notes())


@pytest.fixture
def time() -> TestClock:
    return TestClock()


@pytest.fixture
async def client(playground, services, time):
    async with bot_online(playground, services, time.clock()) as client:
        yield client


@pytest.fixture
def images(tmp_path: Path) -> tuple[StoredImage, ...]:
    """Four pictures of noise, which no format makes small."""
    stored = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        path.write_bytes(encode_png(pixels, ""))
        stored.append(
            StoredImage(
                index=index, seed=5 + index, width=256, height=256, sha256="", safety=Safety.SAFE, path=path
            )
        )
    return tuple(stored)


def recorded(playground: Playground) -> list[str]:
    """Method and path of every request from now on."""
    requests: list[str] = []
    playground.observe(lambda exchange: requests.append(f"{exchange.method} {exchange.path}"))
    return requests


def edits(requests: list[str]) -> list[str]:
    return [request for request in requests if request.startswith("PATCH")]


async def imagine(user: UserSession, jobs: ScriptedJobs) -> Destination:
    await user.slash("imagine", prompt="a cat")
    return await jobs.destinations.get()


def finished(jobs: ScriptedJobs, images: tuple[StoredImage, ...]) -> None:
    jobs.rows[JOB.id] = replace(jobs.rows[JOB.id], images=images)
    jobs.say(JobState.POSTING, images=images)


async def test_progress_is_edited_and_the_grid_posted_anew(client, playground, jobs, images, user):
    await imagine(user, jobs)
    waiting = await user.wait_for(lambda m: "(Waiting to start)" in m["content"])
    jobs.say(JobState.WAITING, place=3, eta=40.0)
    await user.wait_for(lambda m: "place 3" in m["content"])
    jobs.say(JobState.RUNNING, fraction=0.31, preview=preview())
    edited = await user.wait_for(lambda m: "(31%)" in m["content"] and m["attachments"])
    assert edited["id"] == waiting["id"]
    finished(jobs, images)
    _, job_id, channel_id, message_id = await jobs.until_told()
    await user.wait_gone(waiting)
    grid = user.message(str(message_id))
    assert job_id == JOB.id
    assert str(channel_id) == grid["channel_id"]
    assert grid["attachments"][0]["filename"] == "grid.png"
    assert grid["attachments"][0]["description"] == "a cat"
    assert [mention["id"] for mention in grid["mentions"]] == [user.id]
    faces = [[b.get("label") or b["emoji"]["name"] for b in row["components"]] for row in grid["components"]]
    assert faces == [["U1", "U2", "U3", "U4", "🔄"], ["V1", "V2", "V3", "V4", "🗑️"], ["Details"]]


def preview() -> bytes:
    from bot.rendering import compose_preview

    return compose_preview([np.zeros((8, 8, 3), dtype=np.uint8)] * 4, width=64, height=64)


async def test_what_an_update_brings_is_posted_as_it_is(client, jobs, images, user):
    """The row is not read again: between the last picture and its post stands nothing that could be busy."""
    await imagine(user, jobs)
    jobs.say(JobState.POSTING, images=images[:2], unread_words=("far",), unknown_words=("zyx",))
    await jobs.until_told()
    grid = await user.wait_for(lambda m: m["attachments"])
    assert user.button(grid, "U2")
    assert len(grid["components"][0]["components"]) == 3
    assert "did not see: far" in grid["content"]
    assert "never shown: zyx" in grid["content"]


async def test_the_post_carries_the_enforced_nonce(client, playground, jobs, images, user):
    bodies: list[Any] = []
    playground.observe(lambda exchange: bodies.append(exchange))
    await imagine(user, jobs)
    finished(jobs, images)
    await jobs.until_told()
    (post,) = [e for e in bodies if e.method == "POST" and e.path.endswith("/messages")]
    body = json.loads(re.search(rb'name="payload_json"\r\n\r\n(.*?)\r\n--', post.request_body, re.DOTALL)[1])
    assert body["nonce"] == nonce_of(JOB.id)
    assert body["enforce_nonce"] is True


async def test_a_dying_token_gives_way_to_the_message_id(client, playground, jobs, time, user):
    destination = await imagine(user, jobs)
    requests = recorded(playground)
    jobs.say(JobState.RUNNING, fraction=0.1)
    await user.wait_for(lambda m: "(10%)" in m["content"])
    time.ahead = timedelta(minutes=14, seconds=1)
    jobs.say(JobState.RUNNING, fraction=0.2)
    await user.wait_for(lambda m: "(20%)" in m["content"])
    by_token, by_id = edits(requests)
    assert "/webhooks/" in by_token
    assert by_id.endswith(f"/channels/{destination.channel_id}/messages/{destination.message_id}")
    assert jobs.dropped_tokens == [JOB.id]


async def test_a_token_that_died_early_gives_way_at_once(client, playground, jobs, user):
    await imagine(user, jobs)
    playground.faults.fail("PATCH /webhooks/.*", 401, code=50027)
    jobs.say(JobState.RUNNING, fraction=0.1)
    await user.wait_for(lambda m: "(10%)" in m["content"])
    assert jobs.dropped_tokens == [JOB.id]


async def test_failed_edits_fail_nothing(client, playground, jobs, images, user):
    await imagine(user, jobs)
    playground.faults.fail("PATCH .*", 400, times=1, code=50035)
    jobs.say(JobState.RUNNING, fraction=0.1, preview=preview())
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    await user.wait_for(lambda m: m["attachments"])


async def test_a_refused_preview_is_sent_smaller(client, playground, jobs, user):
    await imagine(user, jobs)
    playground.faults.fail("PATCH .*", 413, times=1, code=40005)
    jobs.say(JobState.RUNNING, fraction=0.1, preview=preview())
    shown = await user.wait_for(lambda m: m["attachments"])
    assert shown["attachments"][0]["width"] == 256


async def test_a_refused_grid_is_posted_smaller(client, playground, jobs, images, user):
    await imagine(user, jobs)
    playground.set_upload_limit(150_000)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    grid = await user.wait_for(lambda m: m["attachments"])
    assert grid["attachments"][0]["size"] <= 150_000
    assert grid["attachments"][0]["filename"] == "grid.jpg"


@pytest.mark.parametrize("trouble", ["forbidden", "gone"])
async def test_what_the_channel_refuses_goes_to_the_owner(client, playground, jobs, images, trouble, user):
    await imagine(user, jobs)
    if trouble == "forbidden":
        playground.set_bot_permissions("general", deny=Permission.VIEW_CHANNEL)
    else:
        playground.delete_channel("general")
    finished(jobs, images)
    told = await jobs.until_told()
    assert told[0] == "posted"
    message = await user.wait_for(lambda m: m["attachments"], channel="dm")
    assert str(told[3]) == message["id"]
    assert "could not post this in <#" in message["content"]


async def test_what_nobody_takes_waits_in_the_history(client, playground, jobs, images, user):
    await imagine(user, jobs)
    playground.set_bot_permissions("general", deny=Permission.VIEW_CHANNEL)
    playground.set_accepts_dms(user.id, False)
    finished(jobs, images)
    assert (await jobs.until_told())[::2] == ("not_postable", "post_refused")
    playground.set_bot_permissions("general")
    left = await user.wait_for(lambda m: "(Not posted)" in m["content"])
    assert "They wait in `/history`" in left["content"]
    assert left["components"] == []


async def test_pictures_that_break_before_the_direct_message_end_in_a_sentence(
    client, playground, jobs, images, user
):
    await imagine(user, jobs)
    playground.set_bot_permissions("general", deny=Permission.VIEW_CHANNEL)
    playground.observe(lambda _exchange: images[2].path.write_bytes(b"no picture"))
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "not_postable"


async def test_a_delivery_that_broke_is_taken_up_again(client, jobs, images, user, monkeypatch, time):
    await imagine(user, jobs)
    posted, attempts = jobs.posted, []

    async def busy_at_first(job_id: UUID, **where: Any) -> None:
        attempts.append(job_id)
        if len(attempts) < 3:
            raise RuntimeError("database is locked")
        await posted(job_id, **where)

    monkeypatch.setattr(jobs, "posted", busy_at_first)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    assert time.slept[-2:] == [5, 10]
    assert len([m for m in user.messages() if m["attachments"]]) == 1


async def test_a_job_deleted_as_it_was_posted_leaves_no_progress(client, jobs, images, user, monkeypatch):
    await imagine(user, jobs)
    progress = await user.wait_for(lambda m: "(Waiting to start)" in m["content"])

    async def deleted(job_id: UUID, **_where: Any) -> None:
        del jobs.rows[job_id]

    monkeypatch.setattr(jobs, "posted", deleted)
    finished(jobs, images)
    await user.wait_gone(progress)


async def test_trouble_on_the_way_to_the_owner_is_no_refusal(client, playground, jobs, images, user):
    await imagine(user, jobs)
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    playground.faults.fail("POST /users/@me/channels", 503, times=1)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    await user.wait_for(lambda m: m["attachments"], channel="dm")


async def test_a_token_that_died_early_does_not_keep_the_message(client, playground, jobs, images, user):
    await imagine(user, jobs)
    progress = await user.wait_for(lambda m: "(Waiting to start)" in m["content"])
    playground.faults.fail("DELETE /webhooks/.*", 401, code=50027)
    finished(jobs, images)
    await user.wait_gone(progress)
    assert jobs.dropped_tokens == [JOB.id]


async def test_damaged_pictures_end_in_a_sentence_not_in_a_loop(client, playground, jobs, images, user):
    await imagine(user, jobs)
    images[2].path.write_bytes(b"no picture")
    finished(jobs, images)
    assert (await jobs.until_told())[::2] == ("not_postable", "post_unreadable")
    await user.wait_for(lambda m: "stored files cannot be read" in m["content"])


async def test_a_lost_reply_posts_only_once(client, playground, jobs, images, time, user):
    await imagine(user, jobs)
    playground.faults.lose("POST /channels/[0-9]+/messages", "reply", times=6)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    assert len([m for m in user.messages() if m["attachments"]]) == 1


async def test_trouble_on_discords_side_is_waited_out(client, playground, jobs, images, time, user):
    await imagine(user, jobs)
    playground.faults.fail("POST /channels/[0-9]+/messages", 503, times=7)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    assert time.slept[-7:] == [1, 2, 4, 8, 16, 32, 60]
    await user.wait_for(lambda m: m["attachments"])


async def test_a_failure_is_told_with_retry_and_a_cancel_without_buttons(client, playground, jobs, user):
    await imagine(user, jobs)
    jobs.say(JobState.FAILED, error=UserError("out_of_memory"))
    failed = await user.wait_for(lambda m: "(Failed)" in m["content"])
    assert "does not have the memory" in failed["content"]
    assert user.button(failed, "Retry")
    await imagine(user, jobs)
    jobs.say(JobState.CANCELLED)
    cancelled = await user.wait_for(lambda m: "(Cancelled)" in m["content"])
    assert cancelled["components"] == []


async def test_a_failure_is_told_although_the_progress_message_was_deleted(client, playground, jobs, user):
    destination = await imagine(user, jobs)
    await (
        client.get_partial_messageable(destination.channel_id)
        .get_partial_message(destination.message_id)
        .delete()
    )
    jobs.say(JobState.FAILED, error=UserError("out_of_memory"))
    await user.wait_for(lambda m: "(Failed)" in m["content"])


async def test_only_the_newest_state_is_shown(client, playground, jobs, time, user):
    await imagine(user, jobs)
    requests = recorded(playground)
    for percent in range(1, 100):
        jobs.say(JobState.RUNNING, fraction=percent / 100)
    await user.wait_for(lambda m: "(99%)" in m["content"])
    assert len(edits(requests)) == 1


async def test_a_job_that_starts_at_once_does_not_wait_behind_its_place_in_the_queue(
    client, playground, jobs, user, time
):
    await imagine(user, jobs)
    requests = recorded(playground)
    time.hold = True
    jobs.say(JobState.WAITING, place=1, eta=10.0)
    await time.until_held()
    jobs.say(JobState.RUNNING, fraction=0.05)
    await user.wait_for(lambda m: "(5%)" in m["content"])
    assert len(edits(requests)) == 1


@pytest.fixture
def posting(playground, jobs, images, user) -> Callable[..., Job]:
    """A job that an earlier process had finished, in the channel of that process."""

    def make(channel: str = "general") -> Job:
        job = replace(
            JOB,
            state=JobState.POSTING,
            owner_id=int(user.id),
            guild_id=int(playground.channel(channel).guild_id),
            destination=Destination(channel_id=int(playground.channel(channel).id)),
            images=images,
        )
        jobs.rows[job.id] = job
        return job

    return make


async def test_a_restart_posts_what_was_not_posted(playground, services, jobs, posting, user):
    job = posting()
    async with bot_online(playground, services):
        assert jobs.told[0][:2] == ("posted", job.id)
        assert len([m for m in user.messages() if m["attachments"]]) == 1


async def test_a_restart_finds_what_was_posted(playground, services, jobs, posting, user):
    job = posting()
    async with bot_online(playground, services) as client:
        channel = client.get_partial_messageable(job.destination.channel_id)
        # A later message that carries only a Cancel of the same job must not be taken for its result.
        await channel.send("something else", view=unfinished_buttons(job))
        first = jobs.told[-1]
        delivery = Delivery(client, services)
        await delivery.reconcile()
        assert jobs.told[-1] == first
    assert len([m for m in user.messages() if m["attachments"]]) == 1


async def test_a_history_that_cannot_be_read_posts_once_more(playground, services, jobs, posting, user):
    posting()
    playground.set_bot_permissions("general", deny=Permission.READ_MESSAGE_HISTORY)
    async with bot_online(playground, services):
        assert jobs.told[0][0] == "posted"


def test_the_buttons_of_a_smaller_grid_match_its_pictures(images):
    view = result_buttons(replace(JOB, images=images[:2]))
    assert [getattr(item, "label", None) for item in view.children] == [
        "U1",
        "U2",
        None,
        "V1",
        "V2",
        None,
        "Details",
    ]
