from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from bot.playground import Playground
from tests.bot.playground.raw_bot import RawBot


async def test_answers_that_fail(bot: RawBot, playground: Playground, general: str) -> None:
    path = f"/channels/{general}/messages"
    playground.faults.fail("POST /channels/.*", 502, times=2)
    playground.faults.fail(r"PATCH /channels/\d+/messages/\d+", 403, code=50013)
    playground.faults.rate_limit("POST /channels/.*", retry_after=0.25)
    statuses = [(await bot.call("POST", path, {"content": "x"})).status for _ in range(4)]
    assert statuses == [502, 502, 429, 200]
    message = playground.user("Mia").messages()[-1]
    refused = await bot.call("PATCH", f"{path}/{message['id']}", {"content": "y"})
    assert (refused.status, refused.code) == (403, 50013)
    playground.faults.fail(".*", 500, times=99)
    playground.faults.clear()
    assert (await bot.call("GET", path)).status == 200


async def test_a_lost_reply_is_not_a_lost_request(bot: RawBot, playground: Playground, general: str) -> None:
    path = f"/channels/{general}/messages"
    sent = {"content": "once", "nonce": "n", "enforce_nonce": True}
    for what, seen in (("request", 0), ("reply", 1)):
        playground.faults.lose("POST .*", what)
        with pytest.raises(aiohttp.ClientConnectionError):
            await bot.call("POST", path, sent)
        assert len(playground.user("Mia").messages()) == seen
    assert (await bot.call("POST", path, sent)).status == 200
    assert len(playground.user("Mia").messages()) == 1


async def test_a_delay(bot: RawBot, playground: Playground) -> None:
    playground.faults.delay("GET /users/@me", 0.05)
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert (await bot.call("GET", "/users/@me")).status == 200
    # The loop's own timer may be early by its resolution.
    assert loop.time() - before >= 0.05 - time.get_clock_info("monotonic").resolution


async def test_a_mistake_of_the_stand_in_is_a_500(
    bot: RawBot, playground: Playground, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(playground._services.rendering, "own_user", lambda user: 1 // 0)
    reply = await bot.call("GET", "/users/@me")
    assert (reply.status, reply.headers["Content-Type"]) == (500, "application/json")
    assert "ZeroDivisionError" in caplog.text
