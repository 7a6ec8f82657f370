"""The main job as people see it: from /imagine to the grid and what its buttons make of it."""

from __future__ import annotations

import asyncio
import io
import re

import pytest
from PIL import Image

from bot.playground import UserSession
from bot.playground.permissions import Permission
from engine import GenerationFailed
from tests.bot.playground.spec_referee import referee_or_skip
from tests.bot.stage import IMPATIENT, ScriptedEngine, bot_at
from tests.bot.story.scenes import (
    PROMPT,
    file_of,
    grid_of,
    is_grid,
    is_single,
    private_answer,
    said,
    wait_done,
)


async def test_imagine_shows_progress_and_posts_the_grid(client, playground, engine, mia, theo):
    outcome = await mia.slash("imagine", prompt=f"{PROMPT} --seed 7 --ar 3:2")
    first = mia.message(outcome.message_id)
    assert first["content"] == f"**{PROMPT} --ar 3:2 --seed 7** – <@{mia.id}> (Waiting to start)"
    request = await engine.request()
    engine.progress(request, 6)
    shown = await theo.wait_for(lambda m: said(m, "(30%)") and m["attachments"])
    assert shown["id"] == outcome.message_id
    assert mia.button(shown, "Cancel")
    engine.finish(request, unread_words=("far",), unknown_words=("zyx",))
    grid = await theo.wait_for(is_grid)
    await mia.wait_gone(shown)
    assert grid["content"].splitlines()[:2] == [
        f"**{PROMPT} --ar 3:2 --seed 7** – <@{mia.id}>",
        "-# Seed 7",
    ]
    assert "far" in grid["content"]
    assert "zyx" in grid["content"]
    assert request.seeds == (7, 8, 9, 10)


async def test_the_posted_grid_carries_its_parameters(client, playground, engine, mia):
    grid = await grid_of(mia, engine, f"{PROMPT} --seed 7")
    data = await file_of(grid)
    assert "Seed: 7" in Image.open(io.BytesIO(data)).text["parameters"]


async def test_u_v_and_reroll(client, engine, mia, theo):
    grid = await grid_of(mia, engine, f"{PROMPT} --seed 7")
    await theo.click(grid, "U2")
    single = await theo.wait_for(is_single)
    assert f"**{PROMPT} --seed 7** – Image #2 <@{theo.id}>\n" in single["content"]
    assert "Seed 8" in single["content"]
    await theo.click(grid, "V3")
    variation = await engine.request(2)
    assert variation.init_image is not None
    engine.finish(variation)
    await mia.wait_for(lambda m: is_grid(m) and said(m, f"Variations by <@{theo.id}>"))
    await mia.click(grid, "🔄")
    reroll = await engine.request(3)
    assert reroll.prompt == engine.requests[0].prompt
    assert reroll.seeds != engine.requests[0].seeds
    engine.finish(reroll)
    await mia.wait_for(lambda m: is_grid(m) and m["id"] > variation_id(mia))


def variation_id(user: UserSession) -> str:
    return next(m["id"] for m in user.messages() if said(m, "Variations by") and is_grid(m))


async def test_the_buttons_of_a_single_picture(client, engine, mia):
    grid = await grid_of(mia, engine)
    await mia.click(grid, "U1")
    single = await mia.wait_for(is_single)
    await mia.click(single, "Details")
    details = await private_answer(mia, "Job `")
    assert PROMPT in details["content"]
    assert said(details, "· DDIM")
    assert details["attachments"] == []
    await mia.click(single, "Vary")
    engine.finish(await engine.request(2))
    await mia.wait_for(lambda m: is_grid(m) and said(m, "Variations by"))


async def test_a_second_u_answers_with_the_link_of_the_first(client, engine, mia, theo):
    grid = await grid_of(mia, engine)
    await mia.click(grid, "U2")
    single = await mia.wait_for(lambda m: is_single(m))
    await wait_done(mia)
    await theo.click(grid, "U2")
    answer = await private_answer(theo, "posted already")
    assert single["id"] in answer["content"]


async def test_a_long_prompt_is_whole_in_the_details(client, playground, engine, mia):
    prompt = "sail " * 500
    await mia.click(await grid_of(mia, engine, prompt), "Details")
    details = await private_answer(mia, "Job `")
    assert details["attachments"][0]["filename"] == "prompt.txt"
    assert await file_of(details) == prompt.strip().encode()


async def test_a_u_whose_message_was_deleted_is_posted_again(client, engine, mia, theo):
    grid = await grid_of(mia, engine)
    await mia.click(grid, "U2")
    single = await mia.wait_for(is_single)
    await wait_done(mia)
    channel = client.get_partial_messageable(int(single["channel_id"]))
    await channel.get_partial_message(int(single["id"])).delete()
    await theo.click(grid, "U2")
    await theo.wait_for(lambda m: is_single(m) and m["id"] != single["id"])


async def test_a_double_click_on_a_variation_is_two_jobs(client, engine, mia):
    grid = await grid_of(mia, engine)
    await asyncio.gather(mia.click(grid, "V1"), mia.click(grid, "V1"))
    await engine.request(3)
    assert len(engine.requests) == 3


async def test_a_restart_goes_on_where_it_was_and_old_buttons_work(playground, engine, tmp_path, mia):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        grid = await grid_of(mia, engine)
        await mia.slash("imagine", prompt="a second one")
        engine.progress(await engine.request(2), 10)
        progress = await mia.wait_for(lambda m: said(m, "(50%)"))
    again = ScriptedEngine()
    async with bot_at(playground, tmp_path, again, clock=IMPATIENT):
        request = await again.request()
        assert request.seeds == engine.requests[1].seeds
        again.progress(request, 18)
        shown = await mia.wait_for(lambda m: said(m, "(90%)"))
        assert shown["id"] == progress["id"]
        again.finish(request)
        await mia.wait_for(lambda m: is_grid(m) and said(m, "a second one"))
        await mia.click(grid, "U4")
        await mia.wait_for(is_single)
        assert len([m for m in mia.messages() if is_grid(m)]) == 2


async def test_direct_messages_with_the_bot(client, engine, mia):
    await mia.slash("imagine", prompt=PROMPT, channel="dm")
    engine.finish(await engine.request())
    grid = await mia.wait_for(is_grid, channel="dm")
    await mia.click(grid, "U3")
    await mia.wait_for(is_single, channel="dm")


async def test_every_request_is_one_that_discords_own_spec_allows(playground, engine, tmp_path, mia):
    referee = referee_or_skip()
    playground.observe(referee)
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        await mia.slash("imagine", prompt=PROMPT)
        engine.progress(await engine.request(1), 10)
        await mia.wait_for(lambda m: said(m, "(50%)"))
        engine.finish(engine.requests[0])
        grid = await mia.wait_for(is_grid)
        await wait_done(mia)
        await mia.click(grid, "U1")
        single = await mia.wait_for(is_single)
        await mia.click(single, "Details")
        await mia.slash("history")
        await mia.slash("show", job_id=mia.button(grid, "U1")["custom_id"][-32:])
        await mia.click(grid, "V1")
        engine.fail(
            await engine.request(2), GenerationFailed("out_of_memory", "The device ran out of memory.")
        )
        failed = await mia.wait_for(lambda m: said(m, "(Failed)"))
        await mia.click(failed, "Retry")
        await engine.request(3)
        await mia.complete("cancel", "job", "")
        await mia.slash("cancel")
        await mia.wait_for(lambda m: said(m, "(Cancelled)"))
        playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
        await mia.slash("imagine", prompt=PROMPT, channel="dm")
        engine.finish(await engine.request(4))
        await mia.wait_for(is_grid, channel="dm")
        await mia.click(single, "🗑️")
        await mia.wait_gone(single)
    assert len(referee) > 20
    assert referee.complaints() == []


async def test_the_real_engine_makes_the_pictures(playground, tmp_path, mia):
    """A tiny random model, loaded and run by the engine that runs the others."""
    pytest.importorskip("torch")
    from engine import EngineConfig
    from engine.launch import launch_engine
    from tests.engine.tiny import write_tiny_model

    model = write_tiny_model(tmp_path / "tiny")
    config = EngineConfig(models=(str(model),), device="cpu", offline=True, preview_interval=0.0)
    async with launch_engine(config) as engine, bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        await mia.slash("imagine", prompt="a thing --n 2 --seed 3")
        await mia.wait_for(lambda m: re.search(r"\(\d+%\)", m["content"]) and m["attachments"])
        grid = await mia.wait_for(is_grid)
        await wait_done(mia)
        await mia.click(grid, "V2")
        await mia.wait_for(lambda m: is_grid(m) and said(m, "Variations by"))
        await mia.click(grid, "U1")
        single = await mia.wait_for(is_single)
        assert "-# Seed 3" in single["content"]
