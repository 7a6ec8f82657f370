"""The finished pictures reach their asker once: in the channel, by direct message, or through /history."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from bot.domain import JobState
from bot.domain.job import nonce_of
from bot.playground.permissions import Permission
from tests.bot.delivery.scripted_jobs import finished, imagine
from tests.bot.examples import JOB


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


async def test_a_progress_message_out_of_reach_is_not_tried_again_at_every_start(
    client, playground, jobs, images, user, time
):
    await imagine(user, jobs)
    playground.set_bot_permissions("general", deny=Permission.VIEW_CHANNEL)
    time.ahead = timedelta(minutes=14, seconds=1)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    await asyncio.wait_for(jobs.until_closed(), 20)


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


async def test_trouble_on_the_way_to_the_owner_is_no_refusal(client, playground, jobs, images, user):
    await imagine(user, jobs)
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    playground.faults.fail("POST /users/@me/channels", 503, times=1)
    finished(jobs, images)
    assert (await jobs.until_told())[0] == "posted"
    await user.wait_for(lambda m: m["attachments"], channel="dm")


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
