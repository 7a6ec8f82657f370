from __future__ import annotations

import asyncio

import pytest

from bot.playground import DiscordError, JumpingClock, Playground, interactions
from bot.playground.events import Event, ResponseOverdue
from bot.playground.interactions import CHOICES, DEFER, DEFER_UPDATE, MODAL, REPLY, UPDATE
from tests.bot.playground.raw_bot import Json, RawBot, png

EPHEMERAL, LOADING = 64, 128
BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
ROW = {"type": 1, "components": [BUTTON]}


async def draw(bot: RawBot, playground: Playground, **options: object) -> tuple[Json, asyncio.Task]:
    """Mia runs /draw; returns the interaction and the task that ends with how it was answered."""
    task = asyncio.create_task(playground.user("Mia").slash("draw", **{"prompt": "a boat", **options}))
    return await bot.interaction(), task


async def test_what_the_bot_is_sent(bot: RawBot, playground: Playground, general: str) -> None:
    mia = playground.user("Mia")
    upload = await mia.upload("a.png", png())
    interaction, task = await draw(bot, playground, image=upload)
    assert interaction["data"]["options"][0] == {"name": "prompt", "type": 3, "value": "a boat"}
    assert interaction["data"]["resolved"]["attachments"][upload["id"]]["width"] == 8
    assert (await bot.fetch(upload["url"])).content == png()
    assert interaction["channel"]["id"] == interaction["channel_id"] == general
    assert interaction["member"]["user"]["id"] == mia.id
    assert int(interaction["app_permissions"]) & 1 << 15
    assert (interaction["context"], interaction["attachment_size_limit"]) == (0, 10 << 20)
    assert interaction["authorizing_integration_owners"] == {"0": interaction["guild_id"]}
    assert interaction["entitlements"] == []

    reply = (await bot.respond(interaction, REPLY, {"content": "hello"})).body
    assert reply["interaction"]["response_message_id"] == reply["resource"]["message"]["id"]
    message = reply["resource"]["message"]
    assert message["interaction_metadata"]["user"]["id"] == mia.id
    assert (message["type"], message["interaction"]["name"]) == (20, "draw")
    outcome = await task
    assert (outcome.kind, outcome.message_id) == ("ok", message["id"])


async def test_in_direct_messages(bot: RawBot, playground: Playground) -> None:
    task = asyncio.create_task(playground.user("Mia").slash("draw", channel="dm", prompt="x"))
    interaction = await bot.interaction()
    assert (interaction["context"], interaction["channel"]["type"]) == (1, 1)
    assert "member" not in interaction
    assert interaction["user"]["global_name"] == "Mia"
    await bot.respond(interaction, REPLY, {"content": "hello"})
    assert (await task).kind == "ok"


async def test_three_seconds(bot: RawBot, playground: Playground, clock: JumpingClock) -> None:
    interaction, task = await draw(bot, playground)
    assert (
        await bot.call("PATCH", bot.webhook(interaction, "/messages/@original"), {"content": "x"})
    ).code == 10015
    clock.advance(3.1)
    assert (await task).kind == "failed"
    late = await bot.respond(interaction, DEFER)
    assert (late.status, late.code) == (404, 10062)
    assert (await bot.call("POST", bot.webhook(interaction), {"content": "x"})).code == 10015
    assert playground.user("Mia").messages() == []


async def test_an_answer_in_time_may_take_its_time(
    bot: RawBot, playground: Playground, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock runs out while the files of the answer are being stored."""
    store = playground._services.state.store
    keep = store.write_file

    async def slowly(name: str, content: bytes) -> None:
        clock.advance(3.1)
        await keep(name, content)

    monkeypatch.setattr(store, "write_file", slowly)
    interaction, task = await draw(bot, playground)
    assert (await bot.respond(interaction, REPLY, {}, files={"a.png": png()})).status == 200
    assert (await task).kind == "ok"

    async def fail(name: str, content: bytes) -> None:
        clock.advance(passing)
        raise OSError("the disk is full")

    monkeypatch.setattr(store, "write_file", fail)
    interaction, task = await draw(bot, playground)
    passing = 0.0
    assert (await bot.respond(interaction, REPLY, {}, files={"a.png": png()})).status == 500
    assert interaction["id"] in playground._services.interactions._waiting
    passing = 3.1
    assert (await bot.respond(interaction, REPLY, {}, files={"a.png": png()})).status == 500
    assert (await task).kind == "failed"


async def test_only_one_answer(bot: RawBot, playground: Playground) -> None:
    interaction, _ = await draw(bot, playground)
    assert (await bot.respond({**interaction, "token": "wrong"}, DEFER)).code == 10062
    assert (await bot.respond(interaction, UPDATE, {"content": "x"})).error(
        "type"
    )  # There is nothing to update.
    assert (await bot.respond(interaction, REPLY, {"content": "x" * 2001})).error("data", "content")
    assert (await bot.respond(interaction, REPLY, {})).code == 50006
    replies = await asyncio.gather(
        *(bot.respond(interaction, REPLY, {}, files={"a.png": png()}) for _ in range(3))
    )
    assert sorted(reply.status for reply in replies) == [200, 400, 400]
    assert {reply.code for reply in replies if reply.status == 400} == {40060}
    assert len(playground.user("Mia").messages()) == 1


async def test_deferral_and_the_fifteen_minutes(
    bot: RawBot, playground: Playground, clock: JumpingClock
) -> None:
    theo = playground.user("Theo")
    interaction, task = await draw(bot, playground)
    deferred = (await bot.respond(interaction, DEFER)).body
    assert deferred["interaction"]["response_message_loading"] is True
    assert "resource" not in deferred
    assert (await task).kind == "ok"
    assert theo.messages()[-1]["flags"] == LOADING
    original = bot.webhook(interaction, "/messages/@original")
    assert (await bot.call("GET", original)).body["id"] == deferred["interaction"]["response_message_id"]
    for number in range(3):
        edited = (
            await bot.call(
                "PATCH", original, {"content": f"{number}", "attachments": []}, files={"p.png": png()}
            )
        ).body
        assert len(edited["attachments"]) == 1
        assert (edited["edited_timestamp"] is None) == (number == 0)
    assert theo.messages()[-1]["flags"] == 0
    clock.advance(15 * 60 - 5)
    assert (await bot.call("PATCH", original, {"content": "still"})).status == 200
    clock.advance(6)
    dead = await bot.call("PATCH", original, {"content": "x"})
    assert (dead.status, dead.code) == (401, 50027)
    # The bot's own token edits the same message after that.
    path = f"/channels/{interaction['channel_id']}/messages/{edited['id']}"
    assert (await bot.call("PATCH", path, {"content": "done"})).body["content"] == "done"


async def test_the_first_follow_up_fills_the_deferral(bot: RawBot, playground: Playground) -> None:
    interaction, _ = await draw(bot, playground)
    deferred = (await bot.respond(interaction, DEFER, {"flags": EPHEMERAL})).body
    first = (
        await bot.call("POST", bot.webhook(interaction), {"content": "one"}, files={"a.png": png()})
    ).body
    assert first["id"] == deferred["interaction"]["response_message_id"]
    assert first["flags"] == EPHEMERAL
    assert "/ephemeral-attachments/" in first["attachments"][0]["url"]
    second = (await bot.call("POST", bot.webhook(interaction), {"content": "two"})).body
    assert (second["type"], second["message_reference"]["message_id"]) == (19, first["id"])
    assert [m["content"] for m in playground.user("Mia").messages()] == ["one", "two"]
    assert [m["content"] for m in playground.user("Theo").messages()] == ["two"]
    # Ephemeral messages exist for the interaction's token only.
    path = f"/channels/{interaction['channel_id']}/messages/{first['id']}"
    assert (await bot.call("PATCH", path, {"content": "x"})).code == 10008
    assert (
        await bot.call("PATCH", bot.webhook(interaction, f"/messages/{second['id']}"), {"content": "2"})
    ).status == 200
    assert (await bot.call("DELETE", bot.webhook(interaction, "/messages/@original"))).status == 204
    assert (await bot.call("GET", bot.webhook(interaction, "/messages/@original"))).code == 10008
    other, _ = await draw(bot, playground)
    await bot.respond(other, DEFER)
    assert (await bot.call("GET", bot.webhook(other, f"/messages/{second['id']}"))).code == 10008


async def test_dismissing(bot: RawBot, playground: Playground) -> None:
    mia = playground.user("Mia")
    interaction, _ = await draw(bot, playground)
    await bot.respond(interaction, REPLY, {"content": "psst", "flags": EPHEMERAL})
    with pytest.raises(DiscordError):
        playground.user("Theo").dismiss(mia.messages()[0])
    mia.dismiss(mia.messages()[0])
    assert mia.messages() == []


async def test_clicks(bot: RawBot, playground: Playground) -> None:
    mia, theo = playground.user("Mia"), playground.user("Theo")
    interaction, _ = await draw(bot, playground)
    link = {"type": 2, "style": 5, "label": "Link", "url": "https://example.org"}
    off = {"type": 2, "style": 4, "label": "Off", "custom_id": "off", "disabled": True}
    posted = (
        await bot.respond(
            interaction,
            REPLY,
            {"content": "x", "components": [{"type": 1, "components": [BUTTON, off, link]}]},
        )
    ).body
    message = posted["resource"]["message"]
    for forged in ("other", "off"):
        with pytest.raises(DiscordError, match="50035"):
            await theo.click_custom_id(message, forged)

    task = asyncio.create_task(theo.click(message, "Go"))
    click = await bot.interaction()
    assert click["data"] == {"custom_id": "go", "component_type": 2, "id": 2}
    assert click["message"]["id"] == message["id"]
    updated = (await bot.respond(click, UPDATE, {"content": "y", "components": []})).body
    assert updated["resource"]["message"]["id"] == message["id"]
    assert (await task).kind == "ok"
    assert mia.messages()[-1]["content"] == "y"
    with pytest.raises(DiscordError):
        await theo.click_custom_id(message, "go")
    assert (await bot.call("GET", bot.webhook(click, "/messages/@original"))).body["id"] == message["id"]

    await bot.call("PATCH", bot.webhook(click, "/messages/@original"), {"components": [ROW]})
    task = asyncio.create_task(mia.click(message | {"components": [ROW]}, "Go"))
    click = await bot.interaction()
    assert (await bot.respond(click, DEFER_UPDATE)).body["interaction"]["response_message_id"] == message[
        "id"
    ]
    follow_up = (await bot.call("POST", bot.webhook(click), {"content": "new"})).body
    assert follow_up["id"] != message["id"]
    assert follow_up["interaction_metadata"]["interacted_message_id"] == message["id"]
    await task


async def test_selects(bot: RawBot, playground: Playground) -> None:
    mia = playground.user("Mia")
    interaction, _ = await draw(bot, playground)
    options = [{"label": value, "value": value} for value in "abc"]
    text = {"type": 1, "components": [{"type": 3, "custom_id": "s", "options": options, "max_values": 2}]}
    people = {"type": 1, "components": [{"type": 5, "custom_id": "u"}]}
    reply = await bot.respond(interaction, REPLY, {"content": "x", "components": [text, people]})
    message = reply.body["resource"]["message"]
    for wrong in (["d"], [], ["a", "b", "c"], ["a", "a"]):
        with pytest.raises(DiscordError):
            await mia.select(message, "s", wrong)
    task = asyncio.create_task(mia.select(message, "s", ["a", "c"]))
    chosen = await bot.interaction()
    assert chosen["data"]["values"] == ["a", "c"]
    await bot.respond(chosen, DEFER_UPDATE)
    await task
    task = asyncio.create_task(mia.select(message, "u", [mia.id]))
    chosen = await bot.interaction()
    assert chosen["data"]["resolved"]["members"][mia.id]["roles"] == []
    await bot.respond(chosen, DEFER_UPDATE)
    await task


async def test_modals(
    bot: RawBot, playground: Playground, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far too long to wait for, and no time at all by the playground's own clock.
    monkeypatch.setattr(interactions, "MODAL_OPENS_AFTER", 60.0)
    mia = playground.user("Mia")
    interaction, task = await draw(bot, playground)
    options = [{"label": value, "value": value} for value in "abc"]
    inputs = [
        {"type": 4, "custom_id": "text", "style": 1, "min_length": 2, "max_length": 5},
        {"type": 3, "custom_id": "pick", "options": options},
        {"type": 19, "custom_id": "files", "max_values": 2},
        {"type": 21, "custom_id": "radio", "options": options, "required": False},
        {"type": 22, "custom_id": "boxes", "options": options, "required": False},
    ]
    components = [{"type": 18, "label": c["custom_id"], "component": c} for c in inputs]
    modal = {"custom_id": "m", "title": "Title", "components": components}
    opened = await bot.respond(interaction, MODAL, modal)
    assert "resource" not in opened.body
    assert not task.done()
    clock.advance(60)
    outcome = await asyncio.wait_for(task, 10)
    assert outcome.modal["title"] == "Title"

    upload = await mia.upload("a.png", png())
    right = {"text": "four", "pick": ["b"], "files": [upload], "boxes": ["a", "c"]}
    for wrong in (
        {"text": "1"},
        {"text": "123456"},
        {"text": ["a", "b"]},
        {"boxes": [["a"]]},
        {"radio": ["a"]},
        {"pick": ["d"]},
        {"files": []},
        {"radio": "d"},
        {"files": ["1"]},
    ):
        with pytest.raises(DiscordError, match="50035"):
            await mia.submit(outcome, {**right, **wrong})
    with pytest.raises(DiscordError, match="10062"):
        await playground.user("Theo").submit(outcome, right)

    task = asyncio.create_task(mia.submit(outcome, right))
    submitted = await bot.interaction()
    assert (submitted["type"], submitted["data"]["custom_id"]) == (5, "m")
    assert upload["id"] in submitted["data"]["resolved"]["attachments"]
    assert submitted["data"]["components"][0]["component"]["value"] == "four"
    assert (await bot.respond(submitted, MODAL, modal)).error("type")
    answer = (await bot.respond(submitted, REPLY, {"content": "done"})).body["resource"]["message"]
    assert answer["interaction_metadata"]["triggering_interaction_metadata"]["id"] == interaction["id"]
    assert (await task).kind == "ok"


async def test_autocomplete(bot: RawBot, playground: Playground) -> None:
    options = [{"type": 3, "name": "style", "description": "s", "autocomplete": True, "required": True}]
    await bot.put_commands([{"name": "paint", "description": "p", "options": options}])
    mia = playground.user("Mia")
    task = asyncio.create_task(mia.complete("paint", "style", ""))
    interaction = await bot.interaction()
    assert (interaction["type"], interaction["data"]["options"][0]["focused"]) == (4, True)
    many = [{"name": str(n), "value": str(n)} for n in range(26)]
    assert (await bot.respond(interaction, CHOICES, {"choices": many})).error("data", "choices")
    for value in (None, 7, "", "x" * 101):
        choices = [{"name": "n", "value": value}]
        refused = await bot.respond(interaction, CHOICES, {"choices": choices})
        assert refused.error("data", "choices", 0, "value")
    assert (await bot.respond(interaction, REPLY, {"content": "x"})).error("type")
    assert (await bot.respond(interaction, CHOICES, {"choices": many[:25]})).status == 200
    assert await task == many[:25]
    # What was offered binds nobody: any text may be sent.
    task = asyncio.create_task(mia.slash("paint", style="something else"))
    await bot.respond(await bot.interaction(), DEFER)
    assert (await task).kind == "ok"


async def test_a_deferral_never_answered_is_shown_as_failed(
    bot: RawBot, playground: Playground, clock: JumpingClock
) -> None:
    seen: list[Event] = []
    playground._services.events.subscribe(seen.append)
    interaction, _ = await draw(bot, playground)
    await bot.respond(interaction, DEFER)
    clock.advance(901)
    assert [type(event) for event in seen if isinstance(event, ResponseOverdue)] == [ResponseOverdue]
