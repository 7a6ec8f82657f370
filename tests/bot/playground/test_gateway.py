from __future__ import annotations

import asyncio
import json
import zlib

import aiohttp
import pytest

from bot.playground import JumpingClock, Playground, gateway
from bot.playground.events import PresenceChanged
from tests.bot.playground.raw_bot import RawBot

MESSAGES, MESSAGE_CONTENT, DIRECT = 1 << 9, 1 << 15, 1 << 12


async def test_ready(bot: RawBot, playground: Playground) -> None:
    ready = bot.ready
    assert ready["guilds"] == [{"id": playground.channel("general").guild_id, "unavailable": True}]
    assert ready["user"]["bot"] is True
    assert ready["application"] == {"id": bot.application_id, "flags": 0}
    assert playground.bot_online
    await bot.send(1, None)
    assert (await bot.frame())["op"] == 11


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (2, {"token": "wrong"}, 4004),
        (2, {"intents": 1 | MESSAGE_CONTENT}, 4014),
        (2, {"intents": 1 << 40}, 4013),
        (2, {"shard": [2, 2]}, 4010),
        (2, {"shard": ["0", "1"]}, 4010),
        (3, {}, 4003),
    ],
)
async def test_refused(playground: Playground, op: int, data: dict, code: int) -> None:
    async with RawBot(playground, connect=False) as bot:
        assert (await bot.open())["op"] == 10
        if op == 2:
            await bot.identify(**data)
        else:
            await bot.send(op, data)
        assert await bot.close_code() == code
        assert not playground.bot_online


async def test_more_refusals(bot: RawBot, playground: Playground) -> None:
    await bot.identify()
    assert await bot.close_code() == 4005
    await bot.open()
    assert bot.ws is not None
    for nonsense in ("{", "[" * 100_000):
        await bot.ws.send_str(nonsense)
        assert await bot.close_code() == 4002
        await bot.open()
    await bot.send(6, {"token": playground.bot_token, "session_id": bot.ready["session_id"], "seq": "x"})
    assert await bot.close_code() == 4007
    await bot.open()
    await bot.identify()
    await bot.send(99, None)
    assert await bot.close_code() == 4001
    await bot.open()
    for _ in range(121):
        await bot.send(1, None)
    assert await bot.close_code() == 4008


async def test_intents(playground: Playground) -> None:
    async with (
        RawBot(playground, intents=1 | MESSAGES | DIRECT) as bot,
        RawBot(playground, intents=1) as quiet,
    ):
        mia = playground.user("Mia")
        await mia.say("secret")
        created = (await bot.event("MESSAGE_CREATE"))["d"]
        assert (created["content"], created["author"]["id"]) == ("", mia.id)
        await mia.say(f"for you <@{bot.application_id}>")
        assert (await bot.event("MESSAGE_CREATE"))["d"]["content"].startswith("for you")
        await mia.say("open", channel="dm")
        assert (await bot.event("MESSAGE_CREATE"))["d"]["content"] == "open"
        await quiet.send(1, None)
        assert (await quiet.frame())["op"] == 11


async def test_shards(playground: Playground) -> None:
    playground.set_shards(2)
    guild = int(playground.channel("general").guild_id or 0)
    home = (guild >> 22) % 2
    async with RawBot(playground, connect=False) as bot, RawBot(playground, connect=False) as other:
        assert (await bot.call("GET", "/gateway/bot")).body["shards"] == 2
        for shard, number in ((bot, home), (other, 1 - home)):
            await shard.open()
            await shard.identify(shard=[number, 2])
            ready = await shard.event("READY")
            assert ready["d"]["shard"] == [number, 2]
            assert bool(ready["d"]["guilds"]) == (number == home)
        await bot.put_commands([{"name": "ping", "description": "p"}])
        task = asyncio.create_task(playground.user("Mia").slash("ping"))
        await bot.respond(await bot.interaction(), 5)
        assert (await task).kind == "ok"
        # Direct messages belong to shard 0.
        task = asyncio.create_task(playground.user("Mia").slash("ping", channel="dm"))
        first = bot if home == 0 else other
        await first.respond(await first.interaction(), 5)
        assert (await task).kind == "ok"


async def test_resume_replays_what_was_missed(bot: RawBot, playground: Playground) -> None:
    session = bot.ready["session_id"]
    assert playground.faults.drop_sockets() == 1
    assert await bot.close_code() == 1006
    task = asyncio.create_task(playground.user("Mia").slash("draw", prompt="x"))
    await bot.open()
    await bot.send(6, {"token": playground.bot_token, "session_id": session, "seq": 2})
    interaction = await bot.interaction()
    await bot.event("RESUMED")
    await bot.respond(interaction, 5)
    assert (await task).kind == "ok"


async def test_resume_refused(bot: RawBot, playground: Playground, clock: JumpingClock) -> None:
    resume = {"token": playground.bot_token, "session_id": bot.ready["session_id"], "seq": 2}
    playground.faults.drop_sockets()
    await bot.close_code()
    playground.faults.refuse_resume()
    await bot.open()
    await bot.send(6, resume)
    assert await bot.frame() == {"op": 9, "d": False, "s": None, "t": None}
    await bot.identify()
    resume["session_id"] = (await bot.event("READY"))["d"]["session_id"]
    assert playground.identifies == 2
    assert playground.faults.ask_to_reconnect() == 1
    while (await bot.frame())["op"] != 7:
        pass
    playground.faults.drop_sockets()
    await bot.close_code()
    clock.advance(400)
    await bot.open()
    await bot.send(6, resume)
    assert (await bot.frame())["op"] == 9


async def test_zlib_stream(playground: Playground) -> None:
    async with RawBot(playground, connect=False) as bot:
        await bot.open("?v=10&encoding=json&compress=zlib-stream")
        assert bot.ws is not None
        inflate = zlib.decompressobj()
        frames = []
        for _ in range(3):
            message = await bot.ws.receive(10)
            assert message.type is aiohttp.WSMsgType.BINARY
            assert message.data.endswith(b"\x00\x00\xff\xff")
            frames.append(json.loads(inflate.decompress(message.data)))
            if len(frames) == 1:
                await bot.identify()
        assert [frame["t"] for frame in frames] == [None, "READY", "GUILD_CREATE"]


async def test_zstd_stream_is_answered_in_plain_text(playground: Playground) -> None:
    async with RawBot(playground, connect=False) as bot:
        await bot.open("?v=10&encoding=json&compress=zstd-stream")
        assert (await bot.frame())["op"] == 10
        await bot.identify()
        assert (await bot.frame())["t"] == "READY"


async def test_members_chunk(bot: RawBot, playground: Playground) -> None:
    guild = playground.channel("general").guild_id
    await bot.send(8, {"guild_id": guild, "query": "mi", "limit": 5, "nonce": "n"})
    chunk = (await bot.event("GUILD_MEMBERS_CHUNK"))["d"]
    assert [member["user"]["global_name"] for member in chunk["members"]] == ["Mia"]
    assert chunk["nonce"] == "n"


async def test_goodbye_ends_the_session(bot: RawBot, playground: Playground) -> None:
    assert bot.ws is not None
    await bot.ws.close(code=1000)
    await bot.open()
    await bot.send(6, {"token": playground.bot_token, "session_id": bot.ready["session_id"], "seq": 2})
    assert (await bot.frame())["op"] == 9


async def test_silence_ends_a_connection(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "HEARTBEAT_SECONDS", 0.02)
    async with RawBot(playground, connect=False) as bot:
        await bot.open()
        assert await bot.close_code() == 4009


async def test_a_client_that_does_not_read_is_cut_off(
    playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "QUEUED_FRAMES", 1)
    async with RawBot(playground, connect=False) as bot:
        await bot.open()
        await bot.identify()
        assert await bot.close_code() == 1006


async def test_a_lost_session_is_forgotten(playground: Playground, clock: JumpingClock) -> None:
    async with RawBot(playground):
        offline = asyncio.Event()
        playground._services.events.subscribe(
            lambda event: offline.set() if event == PresenceChanged(False) else None
        )
        playground.faults.drop_sockets()
        await asyncio.wait_for(offline.wait(), 10)
        assert len(playground._services.gateway._sessions) == 1
        clock.advance(gateway.RESUME_WITHIN)
        assert not playground._services.gateway._sessions


async def test_late_heartbeats_are_counted() -> None:
    clock = JumpingClock(frozen=True)
    async with Playground(home=None, clock=clock) as playground, RawBot(playground) as bot:
        for pause, late in ((gateway.HEARTBEAT_SECONDS, 0), (gateway.HEARTBEAT_SECONDS + 2, 1), (10, 1)):
            clock.advance(pause)
            await bot.send(1, None)
            while (await bot.frame())["op"] != 11:
                pass
            assert playground.late_heartbeats == late
