from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bot.playground import JumpingClock, Playground, rate_limits
from bot.playground.rate_limits import RateLimited, RateLimits
from tests.bot.playground.raw_bot import Json, RawBot, Reply


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


async def test_a_days_identifies(
    playground: Playground, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "IDENTIFIES", 3)
    async with RawBot(playground) as bot, RawBot(playground) as other:

        async def budget() -> tuple[int, int]:
            limit = (await bot.call("GET", "/gateway/bot")).body["session_start_limit"]
            assert limit["total"] == 3
            return limit["remaining"], limit["reset_after"]

        assert await budget() == (1, 86_400_000)
        clock.advance(86_399)
        assert await budget() == (1, 1000)
        clock.advance(1)
        assert await budget() == (3, 0)
        async with RawBot(playground), RawBot(playground), RawBot(playground):
            assert await budget() == (0, 86_400_000)
            token = playground.bot_token
            async with RawBot(playground, connect=False) as greedy:
                await greedy.open()
                await greedy.identify()
                # One too many: all sessions end, and the token is worth nothing any more.
                codes = await asyncio.gather(*(each.close_code() for each in (greedy, bot, other)))
        assert codes == [4004, 4004, 4004]
        assert not playground.bot_online
        assert (await bot.call("GET", "/users/@me", token=token)).status == 401
        clock.advance(86_400)
        await bot.open()
        await bot.identify()
        await bot.event("READY")


async def test_a_days_new_commands(playground: Playground, bot: RawBot, clock: JumpingClock) -> None:
    def batch(day: int, count: int) -> list[Json]:
        return [{"name": f"c{day}-{number}", "description": "d"} for number in range(count)]

    guild = playground.channel("general").guild_id
    # What keeps its name is no new command; `draw` was the first of the day.
    for commands in (batch(1, 99), batch(1, 99), batch(2, 100)):
        assert (await bot.put_commands(commands)).status == 200
    clock.advance(3600)
    refused = await bot.put_commands(batch(3, 1))
    assert (refused.status, refused.code, refused.body["retry_after"]) == (429, 30034, 82_800)
    assert refused.headers["Via"]
    assert [command["name"] for command in playground.user("Mia").commands()][:1] == ["c2-0"]
    # The guild's own commands are counted apart, and a list that is refused counts for nothing.
    for day, count, status in ((3, 100, 200), (4, 99, 200), (5, 2, 429), (5, 1, 200)):
        assert (await bot.put_commands(batch(day, count), guild)).status == status
    clock.advance(82_800)
    assert (await bot.put_commands(batch(3, 1))).status == 200


async def test_too_many_invalid_requests_ban_the_address(
    playground: Playground, bot: RawBot, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "INVALID_REQUESTS", 3)

    async def wrong() -> Reply:
        return await bot.call("GET", "/users/@me", token="wrong")

    for _ in range(2):
        await wrong()
    clock.advance(600)
    # What a web page elsewhere makes a browser send counts for nothing.
    url = f"{playground.origin}/api/v10/users/@me"
    async with aiohttp.ClientSession(headers={"Sec-Fetch-Site": "cross-site"}) as browser:
        for _ in range(3):
            assert (await browser.get(url)).status == 401
    assert [(await wrong()).status for _ in range(4)] == [401, 401, 401, 429]
    banned = await bot.call("GET", "/users/@me")
    assert (banned.status, banned.headers["Retry-After"]) == (429, "86400")
    # Neither Discord's form nor its header: discord.py must not take it for a rate limit that passes.
    assert "Via" not in banned.headers
    assert banned.headers["Content-Type"] != "application/json"
    assert playground.invalid_requests == 5
    clock.advance(86_400)
    assert (await bot.call("GET", "/users/@me")).status == 200


def test_the_global_limit() -> None:
    limits = RateLimits(JumpingClock(frozen=True))
    for _ in range(50):
        limits.take("GET", "/users/@me", exempt_from_global=False)
    with pytest.raises(RateLimited) as caught:
        limits.take("GET", "/users/@me", exempt_from_global=False)
    assert caught.value.body()["global"] is True
    limits.take("POST", "/webhooks/1/token", exempt_from_global=True)
