"""What a process that died, or a delivery that broke, has left to be posted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from bot.delivery import Delivery
from bot.domain import Destination, Job, JobState, JobUpdate
from bot.errors import UserError
from bot.playground.permissions import Permission
from bot.views.panels import unfinished_buttons
from tests.bot.delivery.scripted_jobs import finished, imagine
from tests.bot.examples import JOB
from tests.bot.stage import bot_online


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


async def test_an_end_that_could_not_be_noted_is_shown_again(client, jobs, user, monkeypatch, time):
    """Where the database fails under a job's last words, its row still says that it runs."""
    await imagine(user, jobs)
    jobs.say(JobState.RUNNING, fraction=0.1)
    await user.wait_for(lambda m: "(10%)" in m["content"])
    time.hold = True
    jobs.say(JobState.RUNNING, fraction=0.2)
    await time.until_held()
    time.hold = False
    noted, attempts = asyncio.Event(), []

    async def busy_at_first(job_id: UUID) -> None:
        attempts.append(job_id)
        if len(attempts) == 1:
            raise RuntimeError("database is locked")
        noted.set()

    monkeypatch.setattr(jobs, "closed", busy_at_first)
    jobs.feed.put(JobUpdate(job_id=JOB.id, state=JobState.FAILED, error=UserError("internal_error")))
    await asyncio.wait_for(noted.wait(), 20)
    await user.wait_for(lambda m: "(Failed)" in m["content"])


async def test_a_job_deleted_as_it_was_posted_leaves_no_progress(client, jobs, images, user, monkeypatch):
    await imagine(user, jobs)
    progress = await user.wait_for(lambda m: "(Waiting to start)" in m["content"])

    async def deleted(job_id: UUID, **_where: Any) -> None:
        del jobs.rows[job_id]

    monkeypatch.setattr(jobs, "posted", deleted)
    finished(jobs, images)
    await user.wait_gone(progress)


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
