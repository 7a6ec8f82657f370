from __future__ import annotations

import asyncio

import pytest

from bot.playground import JumpingClock, Playground
from bot.playground.rate_limits import RateLimited, RateLimits
from tests.bot.playground.raw_bot import RawBot


async def test_a_channel_takes_five_in_five_seconds(bot: RawBot, general: str, clock: JumpingClock) -> None:
    path = f"/channels/{general}/messages"
    replies = [await bot.call("POST", path, {"content": str(n)}) for n in range(6)]
    assert [int(reply.headers["X-RateLimit-Remaining"]) for reply in replies[:5]] == [4, 3, 2, 1, 0]
    refused = replies[5]
    assert (refused.status, refused.body["global"]) == (429, False)
    assert 4.9 < refused.body["retry_after"] <= 5
    # Without Via discord.py would take it for a ban.
    assert refused.headers["Via"]
    assert refused.headers["X-RateLimit-Bucket"] == replies[0].headers["X-RateLimit-Bucket"]
    clock.advance(refused.body["retry_after"])
    assert (await bot.call("POST", path, {"content": "x"})).status == 200


async def test_a_token_takes_five_in_two_seconds(
    bot: RawBot, playground: Playground, clock: JumpingClock
) -> None:
    task = asyncio.create_task(playground.user("Mia").slash("draw", prompt="x"))
    interaction = await bot.interaction()
    callback = await bot.respond(interaction, 5)
    assert "X-RateLimit-Remaining" not in callback.headers
    await task
    original = bot.webhook(interaction, "/messages/@original")
    replies = [await bot.call("PATCH", original, {"content": str(n)}) for n in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    clock.advance(2)
    assert (await bot.call("PATCH", original, {"content": "x"})).status == 200


async def test_old_messages_are_edited_rarely(bot: RawBot, general: str, clock: JumpingClock) -> None:
    posted = (await bot.call("POST", f"/channels/{general}/messages", {"content": "x"})).body
    clock.advance(3700)
    path = f"/channels/{general}/messages/{posted['id']}"
    replies = [await bot.call("PATCH", path, {"content": str(n)}) for n in range(4)]
    assert [reply.status for reply in replies] == [200] * 3 + [429]
    assert replies[3].code == 30046


def test_the_global_limit() -> None:
    limits = RateLimits(JumpingClock(frozen=True))
    for _ in range(50):
        limits.take("GET", "/users/@me", exempt_from_global=False)
    with pytest.raises(RateLimited) as caught:
        limits.take("GET", "/users/@me", exempt_from_global=False)
    assert caught.value.body()["global"] is True
    limits.take("POST", "/webhooks/1/token", exempt_from_global=True)
