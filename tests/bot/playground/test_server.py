from __future__ import annotations

import asyncio

import aiohttp
import pytest
from yarl import URL

from bot.playground import Playground, server
from tests.bot.playground.raw_bot import RawBot


@pytest.mark.parametrize("path", ["/api/v10/users/@me", "/%61pi/v10/users/@me", "/api/v10/gateway/bot"])
async def test_no_spelling_of_a_path_goes_without_a_token(playground: Playground, path: str) -> None:
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.get(URL(playground.origin + path, encoded=True)) as reply,
    ):
        assert reply.status in (401, 404)


async def test_bad_bodies_are_refused_in_discords_words(
    bot: RawBot, playground: Playground, general: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages, refresh = f"/channels/{general}/messages", "/attachments/refresh-urls"
    headers = {"Authorization": f"Bot {playground.bot_token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(f"{playground.origin}/api/v10/", headers=headers) as client:
        for text in ("{", "NaN", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")):
            async with client.post(messages[1:], data=text) as reply:
                assert (reply.status, (await reply.json())["code"]) == (400, 50109)
    for path in (f"{messages}?limit={'9' * 5000}", f"{messages}?before={'9' * 21}"):
        assert (await bot.call("GET", path)).code == 50035
    for body in ([], {}, {"attachment_urls": 5}, {"attachment_urls": [5]}):
        assert (await bot.call("POST", refresh, body)).code == 50035
    found = await bot.call("POST", refresh, {"attachment_urls": ["http://[", f"{playground.origin}/cdn/["]})
    assert [entry["refreshed"] for entry in found.body["refreshed_urls"]] == [None, None]
    command = {"name": "a", "description": "d", "default_member_permissions": "9" * 4400}
    assert (await bot.put_commands([command])).code == 50035
    option = {"type": 1, "name": "a", "description": "d"}
    for _ in range(300):
        option = {"type": 2, "name": "a", "description": "d", "options": [option]}
    assert (await bot.put_commands([{"name": "a", "description": "d", "options": [option]}])).code == 50109
    assert "Traceback" not in caplog.text


async def test_odd_input_is_no_mistake_of_the_stand_in(bot: RawBot, playground: Playground) -> None:
    task = playground._services.interactions.begin(
        2, playground.user("Mia").id, playground.channel("general"), {"name": "draw"}
    )
    interaction = await bot.interaction()
    refused = await bot.call("POST", f"/interactions/{interaction['id']}/é/callback", {"type": 5})
    assert (refused.status, refused.code) == (404, 10062)
    refused = await bot.call("POST", bot.webhook({"token": f"{interaction['id']}-é"}), {"content": "x"})
    assert (refused.status, refused.code) == (401, 50027)
    task.cancel()
    url = (await playground.user("Mia").upload("a.png", b"x"))["url"].partition("hm=")[0]
    assert (await bot.fetch(url + "hm=é")).status == 404
    assert (await bot.fetch(f"{playground.origin}/cdn/avatars/{'9' * 5000}.png")).status == 200
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(playground.page_url) as page:
            assert page.status == 200
        for name in ("%00", "a" * 3000):
            async with browser.get(URL(f"{playground.origin}/page/{name}", encoded=True)) as file:
                assert file.status == 404


async def test_nobody_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAXIMUM_BODY", 1000)
    async with Playground(None) as playground, RawBot(playground, connect=False) as bot:
        # This route asks for no token before it has read what came.
        refused = await bot.call("POST", "/interactions/1/x/callback", {"type": 4, "data": "x" * 2000})
        assert (refused.status, refused.code) == (413, 40005)


async def test_only_loopback_is_answered(playground: Playground, caplog: pytest.LogCaptureFixture) -> None:
    port = playground.origin.rpartition(":")[2].encode()

    async def status(host: bytes, cookie: bytes = b"") -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n")
        writer.write(b"Cookie: fourfold_key_" + port + b"=" + cookie + b"\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return int(answer.split()[1])

    key = playground.page_url.rpartition("=")[2].encode()
    assert await status(b"127.0.0.1:" + port, key) == 200
    for host in (
        b"evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.1@evil",
        b"127.0.0.1:abc",
        b"[",
        b"\xff",
        b"",
    ):
        assert await status(host, key) == 403
    for cookie in (b"", b"wrong", b"\xff\xfe"):
        assert await status(b"127.0.0.1:" + port, cookie) == 403
    assert "Traceback" not in caplog.text
