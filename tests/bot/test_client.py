"""How the client starts: patience, refusals, commands told only when they changed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import discord
import pytest

from bot.client import FourfoldClient, use_origin
from bot.cogs import COMMANDS
from bot.errors import StartupError
from bot.playground import Playground
from tests.bot.delivery.scripted_jobs import Notes, ScriptedJobs
from tests.bot.stage import bot_online, discord_at


@pytest.fixture
async def playground():
    async with Playground(home=None) as playground:
        yield playground


@pytest.fixture
def services():
    return SimpleNamespace(jobs=ScriptedJobs(), history=None, notes=Notes())


async def nothing() -> None:
    pass


async def test_commands_are_told_once_and_again_when_they_are_missing(playground, services):
    async with bot_online(playground, services) as client:
        assert {command["name"] for command in playground.user("Mia").commands()} == {
            c.name for c in COMMANDS
        }
        assert await client.sync_commands() is False
        await client.http.bulk_upsert_global_commands(client.application_id, [])
        assert await client.sync_commands() is True
    async with bot_online(playground, services):
        assert len(playground.user("Mia").commands()) == len(COMMANDS)


async def test_commands_are_for_servers_and_the_bots_direct_messages(playground, services):
    async with bot_online(playground, services):
        for command in playground.user("Mia").commands():
            assert command["integration_types"] == [0]
            assert command["contexts"] == [0, 1]


async def test_a_wrong_token_stops_with_a_sentence(playground, services):
    async with discord_at(playground.origin):
        client = FourfoldClient(services)
        async with client:
            with pytest.raises(StartupError, match="DISCORD_TOKEN"):
                await client.serve("wrong", nothing)


async def test_a_login_that_is_refused_stops_with_a_sentence(playground, services):
    playground.faults.fail("GET /users/@me", 403, times=1)
    async with discord_at(playground.origin):
        client = FourfoldClient(services)
        async with client:
            with pytest.raises(StartupError, match=f"answered 403 to the login at {playground.origin}"):
                await client.serve(playground.bot_token, nothing)


@pytest.mark.parametrize(
    ("intents", "refusal"),
    [(1 | 1 << 15, 4014), (1 | 1 << 40, 4013)],
    ids=["privileged", "unheard of"],
)
async def test_intents_that_discord_refuses_stop_with_a_sentence(playground, services, intents, refusal):
    async with discord_at(playground.origin):
        client = FourfoldClient(services)
        client._connection._intents = discord.Intents._from_value(intents)
        async with client:
            with pytest.raises(StartupError, match="refused the intents") as stop:
                await client.serve(playground.bot_token, nothing)
    cause = stop.value.__cause__
    assert getattr(cause, "code", 4014) == refusal
    assert isinstance(cause, discord.PrivilegedIntentsRequired) == (refusal == 4014)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (4004, "refused the bot's token"),
        (4013, "refused the intents"),
        (4014, "refused the intents"),
        (4012, r"closed the connection for good \(code 4012\)"),
    ],
)
async def test_a_connection_closed_for_good_stops_with_a_sentence(playground, services, code, sentence):
    """A token is reset, or an intent withdrawn, under a bot that is online."""
    async with discord_at(playground.origin):
        client = FourfoldClient(services, guild_ready_timeout=0.0)
        async with client:
            serving = asyncio.create_task(client.serve(playground.bot_token, nothing))
            await client_ready(client, serving)
            await playground._services.gateway.close(code)
            with pytest.raises(StartupError, match=sentence):
                await asyncio.wait_for(serving, 20)


async def test_a_token_that_dies_during_the_start_stops_with_a_sentence(playground, services):
    async with discord_at(playground.origin):
        client = FourfoldClient(services)

        async def token_is_reset() -> None:
            client.http.token = "another"

        async with client:
            with pytest.raises(StartupError, match="DISCORD_TOKEN"):
                await client.serve(playground.bot_token, token_is_reset)


async def test_a_gateway_that_refuses_the_token_stops_with_a_sentence(playground, services):
    async with discord_at(playground.origin):
        client = FourfoldClient(services)
        ask_for_gateway = client.http.get_bot_gateway

        async def then_reset_the_token():
            found = await ask_for_gateway()
            client.http.token = "another"
            return found

        client.http.get_bot_gateway = then_reset_the_token  # type: ignore[method-assign]
        async with client:
            with pytest.raises(StartupError, match="DISCORD_TOKEN"):
                await client.serve(playground.bot_token, nothing)


async def test_a_network_that_is_away_is_waited_for(playground, services):
    """The first attempts break at every stage of the start; it goes on where it stopped."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    ready = asyncio.Event()

    async def commands_may_come() -> None:
        ready.set()

    playground.faults.fail("GET /users/@me", 503, times=3)
    playground.faults.fail("GET /oauth2/applications/@me", 503, times=2)
    playground.faults.fail("PUT /applications/[0-9]+/commands", 503, times=1)
    playground.faults.fail("GET /gateway/bot", 503, times=1)
    async with discord_at(playground.origin):
        client = FourfoldClient(services, guild_ready_timeout=0.0, sleep=sleep)
        async with client:
            serving = asyncio.create_task(client.serve(playground.bot_token, commands_may_come))
            await client_ready(client, serving)
            assert waits == [1, 2, 4, 8, 16, 1, 1]
            assert ready.is_set()
            await client.close()
            await serving


async def client_ready(client: FourfoldClient, serving: asyncio.Task[None]) -> None:
    online = asyncio.Event()

    async def on_ready() -> None:
        online.set()

    client.on_ready = on_ready  # type: ignore[method-assign]
    waiting = asyncio.create_task(online.wait())
    await asyncio.wait({serving, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert online.is_set(), serving


async def test_commands_are_accepted_only_after_the_catching_up(playground, services):
    async def before_commands() -> None:
        assert not playground.bot_online
        assert client.user is not None

    async with discord_at(playground.origin):
        client = FourfoldClient(services, guild_ready_timeout=0.0)
        async with client:
            serving = asyncio.create_task(client.serve(playground.bot_token, before_commands))
            await client_ready(client, serving)
            assert playground.bot_online
            await client.close()
            await serving


@pytest.mark.parametrize(
    "origin",
    ["ftp://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1/path", "http://", "http://127.0.0.1?x=1"],
)
def test_an_origin_is_scheme_host_and_port(origin):
    with pytest.raises(StartupError, match="must be an origin"):
        use_origin(origin, allow_remote=True)


@pytest.mark.parametrize(
    "origin",
    ["http://10.0.0.1", "https://example.com", "http://localhost.example.com", "http://127.0.0.1.nip.io"],
)
async def test_another_machine_is_refused_unless_allowed(origin):
    before = discord.http.Route.BASE
    with pytest.raises(StartupError, match="not on this machine"):
        use_origin(origin, allow_remote=False)
    assert before == discord.http.Route.BASE
    async with discord_at("http://127.0.0.1:1"):
        use_origin(origin, allow_remote=True)
        assert f"{origin}/api/v10" == discord.http.Route.BASE


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080/"])
async def test_this_machine_is_welcome(origin):
    async with discord_at(origin):
        assert origin.rstrip("/") + "/api/v10" == discord.http.Route.BASE


async def test_nobody_listens(services):
    """A refused connection is trouble of the network, not of the token."""
    attempts = 0

    async def sleep(seconds: float) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            raise asyncio.CancelledError

    async with discord_at("http://127.0.0.1:9"):
        client = FourfoldClient(services, sleep=sleep)
        async with client:
            with pytest.raises(asyncio.CancelledError):
                await client.serve("token", nothing)
    assert attempts == 3


async def test_the_bot_announces_itself_once_however_often_it_connects_anew(services):
    announced = []
    client = FourfoldClient(services, online=lambda: announced.append(True))
    await client.on_ready()
    await client.on_ready()
    assert announced == [True]
