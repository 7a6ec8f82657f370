"""From the first answer to the last word: what the progress message shows, and by which route."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from bot.domain import Destination, JobState
from bot.errors import UserError
from bot.views.panels import unfinished_buttons
from tests.bot.delivery.scripted_jobs import edits, finished, imagine, preview, recorded
from tests.bot.examples import JOB


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
    assert faces == [["U1", "U2", "U3", "U4", "🔄"], ["V1", "V2", "V3", "V4", "🗑️"], ["Details", "Remix"]]


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


async def test_a_token_that_died_early_does_not_keep_the_message(client, playground, jobs, images, user):
    await imagine(user, jobs)
    progress = await user.wait_for(lambda m: "(Waiting to start)" in m["content"])
    playground.faults.fail("DELETE /webhooks/.*", 401, code=50027)
    finished(jobs, images)
    await user.wait_gone(progress)
    assert jobs.dropped_tokens == [JOB.id]


async def test_a_first_answer_that_came_after_the_job_had_begun_is_closed(client, playground, jobs, user):
    channel = client.get_partial_messageable(int(playground.channel("general").id))
    job = replace(JOB, owner_id=int(user.id), destination=Destination(channel_id=channel.id))
    jobs.rows[job.id] = job
    looked = asyncio.Event()
    playground.observe(lambda exchange: looked.set() if exchange.method == "GET" else None)
    jobs.say(JobState.RUNNING, fraction=0.1)
    await looked.wait()
    late = await channel.send("(Waiting to start)", view=unfinished_buttons(job))
    jobs.say(JobState.CANCELLED)
    closed = await user.wait_for(lambda m: "(Cancelled)" in m["content"])
    assert closed["id"] == str(late.id)


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
