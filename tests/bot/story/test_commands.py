"""The commands beside /imagine, and who may end a job."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

from bot.domain import Asker
from bot.playground import Playground, UserSession
from tests.bot.story.scenes import (
    PROMPT,
    grid_of,
    is_grid,
    is_single,
    private_answer,
    said,
    wait_done,
)


async def test_cancel_by_its_button_and_by_command(client, engine, mia, theo):
    await mia.slash("imagine", prompt="one")
    first = await engine.request(1)
    message = await mia.wait_for(lambda m: said(m, "**one**"))
    await theo.click(message, "Cancel")
    await private_answer(theo, "Only the person who asked")
    await mia.click(message, "Cancel")
    cancelled = await mia.wait_for(lambda m: said(m, "(Cancelled)"))
    assert cancelled["components"] == []
    assert engine.aborted == [first.request_id]
    await mia.slash("imagine", prompt="two")
    await mia.slash("imagine", prompt="three")
    await engine.request(3)
    choices = await mia.complete("cancel", "job", "tw")
    assert [choice["name"] for choice in choices] == ["two"]
    assert await theo.complete("cancel", "job", "") == []
    await mia.slash("cancel", job=choices[0]["value"])
    await private_answer(mia, "Cancelled: **two**")
    await mia.slash("cancel")
    await private_answer(mia, "Cancelled: **three**")
    await mia.slash("cancel")
    await private_answer(mia, "no job waiting or running")


async def test_an_admin_may_cancel_for_others(client, playground, engine, mia):
    await mia.slash("imagine", prompt="one")
    message = await mia.wait_for(lambda m: said(m, "**one**"))
    await admin(playground).click(message, "Cancel")
    await mia.wait_for(lambda m: said(m, "(Cancelled)"))


def admin(playground: Playground) -> UserSession:
    return playground.user("Robin")


async def test_delete_is_for_the_owner_and_leaves_nothing(client, playground, engine, mia, theo, tmp_path):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    await theo.click(grid, "🗑️")
    await private_answer(theo, "Only the person who asked")
    playground.faults.fail("POST /interactions/.*", 404, code=10062)
    await mia.click(grid, "🗑️")
    await mia.wait_gone(grid)
    assert not list((tmp_path / "pictures").rglob("*.png"))


async def test_history_shows_pages_of_ones_own(client, engine, mia, theo):
    await mia.slash("history")
    await private_answer(mia, "no pictures yet")
    for number in range(1, 8):
        await grid_of(mia, engine, f"picture {number}")
    await wait_done(mia)
    before = datetime.now(UTC).timestamp()
    await mia.slash("history")
    page = await private_answer(mia, "picture 7")
    assert abs(int(re.search(r"<t:(\d+):R>", page["content"])[1]) - before) < 60
    assert not said(page, "picture 1 ")
    assert page["attachments"][0]["filename"] == "history.jpg"
    assert re.search(r"https://discord.com/channels/\d+/\d+/\d+", page["content"])
    await mia.click(page, "Older")
    older = await private_answer(mia, "picture 1")
    assert older["id"] == page["id"]
    await mia.click(older, "Newest")
    await private_answer(mia, "picture 7")
    await theo.slash("history")
    await private_answer(theo, "no pictures yet")


async def test_a_page_that_is_gone_leads_back_to_the_newest(client, engine, mia):
    for number in range(1, 8):
        await grid_of(mia, engine, f"*{number}" * 100)
    await wait_done(mia)
    await mia.slash("history")
    page = await private_answer(mia, "*7")
    assert len(page["content"]) <= 2000
    owner = Asker(user_id=int(mia.id), user_name="Mia", guild_id=None, channel_id=0)
    listed = await client.services.history.page(int(mia.id))
    await client.services.jobs.delete(owner, listed.jobs[-1].id)
    await mia.click(page, "Older")
    end = await private_answer(mia, "no older pictures")
    await mia.click(end, "Newest")
    await private_answer(mia, "*7")


async def test_lost_pictures_are_said(client, engine, mia, tmp_path):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    for file in (tmp_path / "pictures").rglob("*.png"):
        file.unlink()
    await mia.slash("show", job_id=mia.button(grid, "U1")["custom_id"][-32:])
    await private_answer(mia, "gone or damaged")


async def test_show_posts_again_with_working_buttons_and_only_for_the_owner(client, engine, mia, theo):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    job_id = mia.button(grid, "U1")["custom_id"][-32:]
    await theo.slash("show", job_id=job_id)
    await private_answer(theo, "Only the person who asked")
    await mia.slash("show", job_id="nonsense")
    await private_answer(mia, "`nonsense` is not a job's id")
    await mia.slash("show", job_id=str(uuid4()))
    await private_answer(mia, "it was deleted")
    await mia.slash("show", job_id=job_id)
    copy = await mia.wait_for(lambda m: is_grid(m) and m["id"] != grid["id"])
    await theo.click(copy, "U1")
    await theo.wait_for(is_single)


async def test_a_picture_that_discord_finds_too_large_is_shown_again_smaller(
    client, playground, engine, mia, monkeypatch
):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    playground.faults.fail("POST /interactions/.*", 413, code=40005, times=1)
    playground.faults.fail("PATCH /webhooks/.*", 413, code=40005, times=1)
    monkeypatch.setattr("bot.views.repost.SMALLEST_FILE", 100)
    await mia.slash("show", job_id=mia.button(grid, "U1")["custom_id"][-32:])
    copy = await mia.wait_for(lambda m: is_grid(m) and m["id"] != grid["id"])
    assert copy["attachments"][0]["size"] <= grid["attachments"][0]["size"] // 2


async def test_info_and_help(client, engine, mia):
    await mia.slash("imagine", prompt=PROMPT)
    await engine.request()
    await mia.slash("info")
    info = await private_answer(mia, "**Model** Test")
    assert said(info, "test device")
    assert said(info, PROMPT)
    assert said(info, "0 running, 1 waiting")
    await mia.slash("help")
    text = (await private_answer(mia, "`/imagine`"))["content"]
    for expected in ("/history", "/show", "/cancel", "/info", "--ar", "--seed", "--no", "--n"):
        assert expected in text
