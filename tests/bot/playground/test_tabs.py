"""The socket that the page talks to; the page itself is tested in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.playground import JumpingClock, Playground
from bot.playground.interactions import MODAL_OPENS_AFTER
from tests.bot.playground.raw_bot import Json, RawBot, png


def form(content: bytes) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", content, filename="a.png")
    return data


class Tab:
    def __init__(
        self, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse, hello: Json
    ) -> None:
        self.session = session
        self.ws = ws
        self.hello = hello
        self._n = 0

    async def send(self, op: str, **fields: Any) -> int:
        self._n += 1
        await self.ws.send_json({"op": op, "n": self._n, **fields})
        return self._n

    async def frame(self, op: str) -> Json:
        while True:
            frame = await asyncio.wait_for(self.ws.receive_json(), 10)
            if frame["op"] == op:
                return frame


@pytest.fixture
async def tab(playground: Playground) -> AsyncIterator[Tab]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(playground.page_url, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        async with session.ws_connect(f"{playground.origin}/page/socket", origin=playground.origin) as ws:
            hello = await ws.receive_json()
            assert hello["op"] == "hello"
            yield Tab(session, ws, hello)


async def test_the_key_and_the_origin(playground: Playground, tab: Tab) -> None:
    async with aiohttp.ClientSession() as stranger:
        for path in ("/", "/page/socket", "/?key=wrong", "/page/index.html"):
            assert (await stranger.get(playground.origin + path)).status == 403
        assert (await stranger.post(f"{playground.origin}/page/upload", data=form(b"x"))).status == 403
    url = f"{playground.origin}/page/socket"
    for origin in ("http://evil.example", "null", None):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await tab.session.ws_connect(url, origin=origin)
    for path in ("/page/../server.py", "/page/%2e%2e/server.py", "/page/nothing.js"):
        assert (await tab.session.get(playground.origin + path)).status == 404


async def test_no_look_at_the_disk_holds_the_event_loop(
    playground: Playground, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_on: list[threading.Thread] = []
    for name in ("stat", "resolve"):
        look = getattr(Path, name)

        def noted(path: Path, *args: Any, look: Any = look, **more: Any) -> Any:
            looked_on.append(threading.current_thread())
            return look(path, *args, **more)

        monkeypatch.setattr(Path, name, noted)
    reply = await tab.session.get(f"{playground.origin}/page/index.html")
    assert reply.status == 200
    assert looked_on
    assert threading.main_thread() not in looked_on


async def test_hello(bot: RawBot, playground: Playground, tab: Tab) -> None:
    hello = tab.hello
    assert [member["user"]["global_name"] for member in hello["members"]] == ["Mia", "Theo", "Yuki", "Robin"]
    assert [member["admin"] for member in hello["members"]] == [False, False, False, True]
    assert [(c.get("name"), c["type"]) for c in hello["channels"]] == [
        ("general", 0),
        ("gallery", 0),
        ("after-dark", 0),
        (None, 1),
    ]
    assert [role["name"] for role in hello["guild"]["roles"]] == ["Fourfold", "Moderator", "@everyone"]
    assert hello["upload_limit"] == 10 << 20
    assert hello["bot_online"] is True
    assert [command["name"] for command in hello["commands"]] == ["draw"]
    robin = playground.user("Robin").id
    n = await tab.send("act_as", user_id=robin)
    again = await tab.frame("hello")
    assert (again["me"], again["n"]) == (robin, n)
    assert again["channels"][3]["recipients"][0]["id"] == robin


async def test_a_slash_command(
    bot: RawBot, playground: Playground, tab: Tab, general: str, clock: JumpingClock
) -> None:
    upload = await tab.session.post(f"{playground.origin}/page/upload", data=form(png(6, 4)))
    picture = await upload.json()
    assert (picture["width"], picture["height"], picture["content_type"]) == (6, 4, "image/png")
    draw = tab.hello["commands"][0]["id"]
    options = [
        {"name": "prompt", "type": 3, "value": "x"},
        {"name": "image", "type": 11, "value": picture["id"]},
    ]
    n = await tab.send("slash", channel_id=general, command_id=draw, options=options)
    interaction = await bot.interaction()
    assert interaction["data"]["resolved"]["attachments"][picture["id"]]["size"] == picture["size"]
    button = {"type": 1, "components": [{"type": 2, "style": 1, "label": "b", "custom_id": "b"}]}
    await bot.respond(interaction, 4, {"content": "hello", "components": [button]})
    created = (await tab.frame("message_create"))["message"]
    assert (created["content"], created["interaction"]["name"]) == ("hello", "draw")
    assert (await tab.frame("ok"))["n"] == n

    n = await tab.send("click", channel_id=general, message_id=created["id"], custom_id="b")
    await bot.respond(await bot.interaction(), 7, {"content": "clicked"})
    assert (await tab.frame("message_update"))["message"]["content"] == "clicked"
    n = await tab.send("click", channel_id=general, message_id=created["id"], custom_id="forged")
    error = await tab.frame("error")
    assert (error["n"], error["code"]) == (n, 50035)
    n = await tab.send("click", channel_id=general, message_id=created["id"], custom_id="b")
    await bot.interaction()
    clock.advance(4)
    assert await tab.frame("failed") == {"op": "failed", "n": n, "message_id": created["id"]}
    await tab.send("slash", channel_id=general, command_id=draw, options=[])
    assert "prompt" in (await tab.frame("error"))["errors"]["options"]
    await bot.call("DELETE", bot.webhook(interaction, "/messages/@original"))
    assert (await tab.frame("message_delete"))["id"] == created["id"]


async def test_a_deferral_that_nobody_will_answer(
    bot: RawBot, playground: Playground, tab: Tab, clock: JumpingClock
) -> None:
    task = asyncio.create_task(playground.user("Mia").slash("draw", prompt="x"))
    await bot.respond(await bot.interaction(), 5)
    await task
    created = (await tab.frame("message_create"))["message"]
    clock.advance(901)
    overdue = {"op": "failed", "n": None, "message_id": created["id"]}
    assert await tab.frame("failed") == overdue
    # Whoever looks later is told as well.
    await tab.send("act_as", user_id=playground.user("Theo").id)
    await tab.frame("hello")
    assert await tab.frame("failed") == overdue


async def test_modal_autocomplete_and_ephemeral(
    bot: RawBot, tab: Tab, general: str, clock: JumpingClock
) -> None:
    style = {"type": 3, "name": "style", "description": "d", "autocomplete": True}
    await bot.put_commands([{"name": "paint", "description": "d", "options": [style]}])
    paint = (await tab.frame("commands"))["commands"][0]["id"]
    n = await tab.send(
        "complete",
        channel_id=general,
        command_id=paint,
        options=[{"name": "style", "type": 3, "value": "i", "focused": True}],
    )
    await bot.respond(await bot.interaction(), 8, {"choices": [{"name": "Ink", "value": "ink"}]})
    assert await tab.frame("choices") == {
        "op": "choices",
        "n": n,
        "choices": [{"name": "Ink", "value": "ink"}],
    }

    await tab.send("slash", channel_id=general, command_id=paint, options=[])
    text = {"type": 18, "label": "l", "component": {"type": 4, "style": 1, "custom_id": "t"}}
    await bot.respond(await bot.interaction(), 9, {"custom_id": "m", "title": "T", "components": [text]})
    clock.advance(MODAL_OPENS_AFTER)
    modal = await tab.frame("modal")
    sent = [{"type": 18, "component": {"type": 4, "custom_id": "t", "value": ""}}]
    await tab.send("submit", interaction_id=modal["interaction_id"], custom_id="m", components=sent)
    assert (await tab.frame("error"))["code"] == 50035
    sent[0]["component"]["value"] = "four"
    await tab.send("submit", interaction_id=modal["interaction_id"], custom_id="m", components=sent)
    await bot.respond(await bot.interaction(), 4, {"content": "only you", "flags": 64})
    whisper = (await tab.frame("message_create"))["message"]
    assert whisper["flags"] & 64
    await tab.frame("ok")
    n = await tab.send("dismiss", message_id=whisper["id"])
    assert (await tab.frame("message_delete"))["id"] == whisper["id"]
    assert (await tab.frame("ok"))["n"] == n


async def test_saying_scrolling_and_nonsense(
    bot: RawBot, playground: Playground, tab: Tab, general: str
) -> None:
    for number in range(60):
        await playground.user("Theo").say(str(number))
    n = await tab.send("say", channel_id=general, content="hello")
    while (created := (await tab.frame("message_create"))["message"])["content"] != "hello":
        pass
    assert created["author"]["id"] == tab.hello["me"]
    assert (await tab.frame("ok"))["n"] == n
    await tab.send("act_as", user_id=tab.hello["me"])
    shown = (await tab.frame("hello"))["messages"][general]
    assert [shown[0]["content"], shown[-1]["content"]] == ["11", "hello"]
    await tab.send("older", channel_id=general, before=shown[0]["id"])
    older = await tab.frame("older")
    assert ([message["content"] for message in older["messages"]], older["more"]) == (
        [str(n) for n in range(11)],
        False,
    )
    # Whoever acts as somebody else right after has still spoken as before.
    await tab.send("say", channel_id=general, content="who was it")
    await tab.send("act_as", user_id=playground.user("Theo").id)
    said = (await tab.frame("message_create"))["message"]
    assert (said["content"], said["author"]["id"]) == ("who was it", tab.hello["me"])
    await tab.send("act_as", user_id=tab.hello["me"])
    await tab.send("say", channel_id=general, content="")
    assert (await tab.frame("error"))["code"] == 50006
    unreadable = (
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"op": "slash"}',
        '{"op": "fly"}',
        '{"op": "act_as", "user_id": "1"}',
    )
    wrong = (
        '{"op": "say", "channel_id": [], "content": "x"}',
        '{"op": "older", "channel_id": "1", "before": {}}',
        '{"op": "slash", "channel_id": "1", "command_id": "1", "options": {"a": NaN}}',
        '{"op": "slash", "channel_id": "1", "command_id": "1", "options": "abc"}',
        '{"op": "select", "channel_id": "1", "message_id": "1", "custom_id": "s", "values": "a"}',
        '{"op": "select", "channel_id": "1", "message_id": "1", "custom_id": "s", "values": [1]}',
    )
    for frame in unreadable + wrong:
        await tab.ws.send_str(frame)
        assert (await tab.frame("error"))["message"]
    await bot.call("POST", f"/channels/{general}/typing")
    assert (await tab.frame("typing"))["user_id"] == bot.application_id
    playground.faults.drop_sockets()
    assert (await tab.frame("presence"))["bot_online"] is False
    playground.delete_channel("gallery")
    assert len((await tab.frame("hello"))["channels"]) == 3


async def test_a_mistake_of_the_stand_in_is_told(
    playground: Playground,
    tab: Tab,
    general: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def full_disk() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(playground._services.state.store, "flush", full_disk)
    n = await tab.send("say", channel_id=general, content="hello")
    error = await tab.frame("error")
    assert (error["n"], error["message"]) == (n, "500: Internal Server Error")
    assert "no space left" in caplog.text


async def test_the_other_name_of_this_machine(playground: Playground, tab: Tab) -> None:
    """The page's pictures and its cookie come from 127.0.0.1, so whoever asks for localhost is sent there."""
    asked = playground.page_url.replace("127.0.0.1", "localhost")
    sent = await tab.session.get(asked, allow_redirects=False)
    assert (sent.status, sent.headers["Location"]) == (307, playground.page_url)


async def test_uploads_have_the_guilds_limit(
    playground: Playground, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    playground.set_upload_limit(100)
    for size, status in ((100, 200), (101, 413), (200_000, 413)):
        reply = await tab.session.post(f"{playground.origin}/page/upload", data=form(bytes(size)))
        assert reply.status == status
    assert "MiB" in (await reply.json())["message"]
    # Without a length in front it is refused as well, and before all of it is here.
    with monkeypatch.context() as patch:
        patch.setattr(playground._services.members, "upload", lambda *_: pytest.fail("read whole"))
        url = f"{playground.origin}/page/upload"
        assert (await tab.session.post(url, data=form(bytes(200_000)), chunked=True)).status == 413
    assert (await tab.session.post(f"{playground.origin}/page/upload", data={"other": "x"})).status == 400
    for kind, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=a", b"garbage"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data; name=file\r\n\r\nx"),
        ("application/x-www-form-urlencoded", b"file=x"),
    ):
        url, headers = f"{playground.origin}/page/upload", {"Content-Type": kind}
        reply = await tab.session.post(url, data=body, headers=headers)
        assert (reply.status, bool((await reply.json())["message"])) == (400, True)
