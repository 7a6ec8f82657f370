"""What people see when something is wrong: with what they asked for, with the channel, with the network, with us."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from bot.database import DatabaseUnavailableError, JobRepository
from bot.domain import Asker
from bot.playground import DiscordError
from bot.playground.permissions import Permission
from bot.services import Limits
from engine import GenerationFailed
from tests.bot.stage import IMPATIENT, bot_at
from tests.bot.story.scenes import (
    PROMPT,
    grid_of,
    is_grid,
    is_single,
    private_answer,
    said,
    wait_done,
)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("   ", "The prompt is empty"),
        ("x" * 4001, "4,001 characters"),
        ("a cat --ar 0:1", "`--ar 0:1` is not possible"),
        ("a cat --seed -1", "`--seed -1` is not possible"),
        ("a cat --sead 3", "Did you mean `--seed`"),
    ],
)
async def test_bad_prompts_get_a_sentence_and_no_gpu_time(client, engine, mia, prompt, sentence):
    await mia.slash("imagine", prompt=prompt)
    await private_answer(mia, sentence)
    assert engine.requests == []


async def test_limits_say_why_and_when(playground, engine, tmp_path, mia):
    limits = Limits(max_running_per_user=1, max_waiting_per_user=2)
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT, limits=limits):
        for prompt in ("one", "two", "three"):
            await mia.slash("imagine", prompt=prompt)
        await private_answer(mia, "2 jobs waiting")


async def test_a_channel_without_permission_is_refused_before_any_work(client, playground, engine, mia):
    playground.set_bot_permissions("general", deny=Permission.ATTACH_FILES)
    await mia.slash("imagine", prompt=PROMPT)
    await private_answer(mia, "may not post pictures in this channel")
    assert engine.requests == []


async def test_permission_lost_meanwhile_delivers_by_direct_message(client, playground, engine, mia):
    await mia.slash("imagine", prompt=PROMPT)
    request = await engine.request()
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    engine.finish(request)
    delivered = await mia.wait_for(is_grid, channel="dm")
    await mia.click(delivered, "U1")
    await mia.wait_for(is_single, channel="dm")


async def test_nobody_can_be_reached_so_it_waits_in_the_history(client, playground, engine, mia):
    await mia.slash("imagine", prompt=PROMPT)
    progress = await mia.wait_for(lambda m: said(m, PROMPT))
    request = await engine.request()
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    playground.set_accepts_dms(mia.id, False)
    engine.finish(request)
    left = await mia.wait_for(lambda m: said(m, "(Not posted)"))
    assert left["id"] == progress["id"]
    playground.set_bot_permissions("general")
    await mia.slash("history")
    page = await private_answer(mia, "not posted")
    job_id = re.search(r"`([0-9a-f-]{36})`", page["content"])[1]
    await mia.slash("show", job_id=job_id)
    await mia.wait_for(is_grid)


async def test_a_failed_job_is_told_and_retried_with_the_same_seeds(client, engine, mia):
    await mia.slash("imagine", prompt=PROMPT)
    request = await engine.request()
    engine.fail(request, GenerationFailed("out_of_memory", "The device ran out of memory."))
    failed = await mia.wait_for(lambda m: said(m, "(Failed)"))
    await mia.click(failed, "Retry")
    again = await engine.request(2)
    assert again.seeds == request.seeds
    engine.finish(again)
    await mia.wait_for(is_grid)


async def test_an_old_button_of_a_deleted_job_says_so(client, engine, mia):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    job_id = UUID(mia.button(grid, "U1")["custom_id"][-32:])
    owner = Asker(user_id=int(mia.id), user_name="Mia", guild_id=None, channel_id=0)
    await client.services.jobs.delete(owner, job_id)
    for button in ("U1", "V1", "🔄", "🗑️"):
        outcome = await mia.click(grid, button)
        assert "it was deleted" in mia.message(outcome.message_id)["content"]
    assert len(engine.requests) == 1


async def test_a_forged_button_does_nothing(client, engine, mia):
    grid = await grid_of(mia, engine)
    progress = await mia.slash("info")
    info = mia.message(progress.message_id)
    forged = mia.button(grid, "V1")["custom_id"]
    # The stand-in refuses it as Discord does today; discord.py's own check is the second line.
    with pytest.raises(DiscordError):
        await mia.click_custom_id(info, forged)
    assert len(engine.requests) == 1


async def test_an_answer_that_comes_too_late_goes_on_without_the_interaction(client, playground, engine, mia):
    playground.faults.fail("POST /interactions/.*", 404, code=10062)
    await mia.slash("imagine", prompt=PROMPT)
    progress = await mia.wait_for(lambda m: said(m, "(Waiting to start"))
    engine.finish(await engine.request())
    await mia.wait_for(is_grid)
    await mia.wait_gone(progress)


async def test_nothing_happens_when_nothing_was_accepted(client, playground, engine, mia):
    playground.faults.fail("POST /interactions/.*", 404, code=10062)
    await mia.slash("imagine", prompt="a cat --ar 0:1")
    assert mia.messages() == []
    assert engine.requests == []


async def test_an_acknowledgement_lost_on_its_way_back_starts_one_job(client, playground, engine, mia):
    playground.faults.lose("POST /interactions/.*", "reply")
    await mia.slash("imagine", prompt=PROMPT)
    engine.finish(await engine.request())
    await mia.wait_for(is_grid)
    await wait_done(mia)
    assert len(engine.requests) == 1
    assert len(mia.messages()) == 1


async def test_a_slow_database_defers_and_goes_on(client, engine, mia, monkeypatch):
    monkeypatch.setattr("bot.views.interactions.LATE_AFTER", 0.0)
    outcome = await mia.slash("imagine", prompt=PROMPT)
    assert said(await mia.wait_for(lambda m: said(m, "(Waiting to start")), PROMPT)
    engine.finish(await engine.request())
    grid = await mia.wait_for(is_grid)
    await mia.wait_gone({"id": outcome.message_id})
    await mia.slash("history")
    await private_answer(mia, PROMPT)
    await mia.slash("imagine", prompt="a cat --ar 0:1")
    await private_answer(mia, "`--ar 0:1` is not possible")
    assert not [m for m in mia.messages() if m["flags"] & 128]
    await mia.click(grid, "🗑️")
    await mia.wait_gone(grid)


async def test_a_message_that_could_not_be_noted_is_found_and_used(client, engine, mia, monkeypatch):
    async def busy(*_arguments: object) -> None:
        raise DatabaseUnavailableError("database is locked")

    monkeypatch.setattr("bot.services.job_service.SHOWN_WITHIN", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(JobRepository, "set_destination", busy)
        await mia.slash("imagine", prompt=PROMPT)
        request = await engine.request()
    engine.progress(request, 10)
    await mia.wait_for(lambda m: said(m, "(50%)"))
    assert len(mia.messages()) == 1
    engine.finish(request)
    await mia.wait_for(is_grid)
    await wait_done(mia)


async def test_a_mistake_in_the_program_is_answered(client, engine, mia, monkeypatch):
    async def broken(*_arguments: object) -> None:
        raise RuntimeError("broken on purpose")

    grid = await grid_of(mia, engine)
    monkeypatch.setattr(client.services.jobs, "create", broken)
    monkeypatch.setattr(client.services.jobs, "unfinished", broken)
    for answer in (mia.click(grid, "V1"), mia.slash("imagine", prompt=PROMPT), mia.slash("info")):
        outcome = await answer
        assert "Something went wrong on my side" in mia.message(outcome.message_id)["content"]


async def test_a_lost_socket_and_a_click_meanwhile(client, playground, engine, mia):
    grid = await grid_of(mia, engine)
    playground.faults.drop_sockets()
    await mia.click(grid, "V1")
    await engine.request(2)


async def test_mentions_in_prompts_call_nobody(client, playground, engine, mia, theo):
    grid = await grid_of(mia, engine, f"@everyone look at <@{theo.id}>")
    assert [mention["id"] for mention in grid["mentions"]] == [mia.id]
    assert grid["mention_everyone"] is False
