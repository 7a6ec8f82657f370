"""The main job as people see it: the real client, services, database and delivery on the local stand-in."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from PIL import Image

from bot.domain import Asker
from bot.playground import DiscordError, Playground, UserSession
from bot.playground.permissions import Permission
from bot.services import Limits
from engine import GenerationFailed
from tests.bot.playground.spec_referee import referee_or_skip
from tests.bot.stage import IMPATIENT, ScriptedEngine, bot_at

PROMPT = "a red sailboat on a calm sea"


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with Playground(home=None) as playground:
        yield playground


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def client(playground, engine, tmp_path):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT) as client:
        yield client


@pytest.fixture
def mia(playground) -> UserSession:
    return playground.user("Mia")


@pytest.fixture
def theo(playground) -> UserSession:
    return playground.user("Theo")


def is_grid(message) -> bool:
    return bool(message["attachments"]) and message["attachments"][0]["filename"].startswith("grid.")


def is_single(message) -> bool:
    return bool(message["attachments"]) and message["attachments"][0]["filename"].startswith("picture.")


def said(message, text: str) -> bool:
    return text in message["content"]


async def private_answer(user: UserSession, text: str, channel: str = "general"):
    return await user.wait_for(lambda m: m["flags"] & 64 and said(m, text), channel=channel)


async def grid_of(user: UserSession, engine: ScriptedEngine, prompt: str = PROMPT):
    """Imagine it and let the engine finish: the posted grid."""
    before = {message["id"] for message in user.messages()}
    number = len(engine.requests) + 1
    await user.slash("imagine", prompt=prompt)
    engine.finish(await engine.request(number))
    return await user.wait_for(lambda m: is_grid(m) and m["id"] not in before)


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
    data = await playground_file(grid)
    assert "Seed: 7" in Image.open(io.BytesIO(data)).text["parameters"]


async def playground_file(message) -> bytes:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.get(message["attachments"][0]["url"]) as response:
        return await response.read()


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


async def wait_done(user: UserSession) -> None:
    """A posted result is recorded once its progress message is gone."""
    for message in user.messages():
        if said(message, "(Waiting to start"):
            await user.wait_gone(message)


async def test_a_long_prompt_is_whole_in_the_details(client, playground, engine, mia):
    prompt = "sail " * 500
    await mia.click(await grid_of(mia, engine, prompt), "Details")
    details = await private_answer(mia, "Job `")
    assert details["attachments"][0]["filename"] == "prompt.txt"
    assert await playground_file(details) == prompt.strip().encode()


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


async def test_delete_is_for_the_owner_and_leaves_nothing(client, playground, engine, mia, theo, tmp_path):
    grid = await grid_of(mia, engine)
    await wait_done(mia)
    await theo.click(grid, "🗑️")
    await private_answer(theo, "Only the person who asked")
    playground.faults.fail("POST /interactions/.*", 404, code=10062)
    await mia.click(grid, "🗑️")
    await mia.wait_gone(grid)
    assert not list((tmp_path / "pictures").rglob("*.png"))


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
    limits = Limits(max_running_per_user=1, max_waiting_per_user=1)
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT, limits=limits):
        for prompt in ("one", "two", "three"):
            await mia.slash("imagine", prompt=prompt)
        await private_answer(mia, "2 jobs under way")


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


async def test_direct_messages_with_the_bot(client, engine, mia):
    await mia.slash("imagine", prompt=PROMPT, channel="dm")
    engine.finish(await engine.request())
    grid = await mia.wait_for(is_grid, channel="dm")
    await mia.click(grid, "U3")
    await mia.wait_for(is_single, channel="dm")


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
