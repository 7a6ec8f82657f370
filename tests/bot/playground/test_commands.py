from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.playground import DiscordError, Playground
from tests.bot.playground.raw_bot import Json, RawBot


async def test_replacing(bot: RawBot, playground: Playground) -> None:
    first = {
        c["name"]: c
        for c in (
            await bot.put_commands([{"name": "a", "description": "d"}, {"name": "b", "description": "d"}])
        ).body
    }
    second = {
        c["name"]: c
        for c in (
            await bot.put_commands([{"name": "a", "description": "e"}, {"type": 3, "name": "Menu"}])
        ).body
    }
    assert second["a"]["id"] == first["a"]["id"]
    assert second["a"]["version"] != first["a"]["version"]
    assert second["Menu"]["description"] == ""
    assert [c["name"] for c in playground.user("Mia").commands()] == ["a", "Menu"]
    guild = playground.channel("general").guild_id
    await bot.put_commands([{"name": "here", "description": "d"}], guild)
    assert [c["name"] for c in playground.user("Mia").commands()] == ["a", "Menu", "here"]
    assert (await bot.call("GET", f"/applications/{bot.application_id}/guilds/{guild}/commands")).body[0][
        "guild_id"
    ] == guild
    refused = await bot.put_commands([{"name": "A", "description": ""}])
    assert refused.error(0, "name") == "STRING_TYPE_REGEX"
    assert refused.error(0, "description") == "BASE_TYPE_REQUIRED"
    assert (await bot.call("PUT", "/applications/1/commands", [])).status == 403


OPTIONS = [
    {"type": 3, "name": "text", "description": "d", "required": True, "min_length": 2, "max_length": 5},
    {"type": 4, "name": "count", "description": "d", "min_value": 1, "max_value": 4},
    {"type": 10, "name": "scale", "description": "d"},
    {"type": 5, "name": "flag", "description": "d"},
    {"type": 3, "name": "size", "description": "d", "choices": [{"name": "Big", "value": "big"}]},
    {"type": 6, "name": "who", "description": "d"},
    {"type": 7, "name": "where", "description": "d"},
    {"type": 8, "name": "role", "description": "d"},
    {"type": 11, "name": "file", "description": "d"},
]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, ["text"]),
        ({"text": "x"}, [0, "value"]),
        ({"text": "xxxxxx"}, [0, "value"]),
        ({"text": 5}, [0, "value"]),
        ({"text": "abc", "scale": 2.0**60}, [1, "value"]),
        ({"text": "abc", "scale": -(10**400)}, [1, "value"]),
        ({"text": "xx", "count": 5}, [1, "value"]),
        ({"text": "xx", "count": 1.5}, [1, "value"]),
        ({"text": "xx", "count": True}, [1, "value"]),
        ({"text": "xx", "scale": "1"}, [1, "value"]),
        ({"text": "xx", "flag": 1}, [1, "value"]),
        ({"text": "xx", "size": "small"}, [1, "value"]),
        ({"text": "xx", "who": "1"}, [1, "value"]),
        ({"text": "xx", "where": "1"}, [1, "value"]),
        ({"text": "xx", "file": "1"}, [1, "value"]),
        ({"text": "xx", "other": "1"}, [1, "name"]),
    ],
)
async def test_options_refused(bot: RawBot, playground: Playground, options: Json, path: list[Any]) -> None:
    await bot.put_commands([{"name": "all", "description": "d", "options": OPTIONS}])
    with pytest.raises(DiscordError) as caught:
        await playground.user("Mia").slash("all", **options)
    assert caught.value.errors is not None
    node = caught.value.errors["options"]
    for step in path:
        node = node[str(step)]
    assert node["_errors"]


async def test_options_resolved(bot: RawBot, playground: Playground, general: str) -> None:
    await bot.put_commands([{"name": "all", "description": "d", "options": OPTIONS}])
    mia, theo = playground.user("Mia"), playground.user("Theo")
    role = playground.channel("general").guild_id
    values = {
        "text": "xx",
        "count": 4,
        "scale": 0.5,
        "flag": False,
        "size": "big",
        "who": theo.id,
        "where": general,
        "role": role,
    }
    task = asyncio.create_task(mia.slash("all", **values))
    interaction = await bot.interaction()
    await bot.respond(interaction, 5)
    assert (await task).kind == "ok"
    assert {option["name"]: option["value"] for option in interaction["data"]["options"]} == values
    resolved = interaction["data"]["resolved"]
    assert resolved["users"][theo.id]["username"] == "theo"
    assert resolved["members"][theo.id]["roles"] == []
    assert resolved["channels"][general]["name"] == "general"
    assert resolved["roles"][role]["name"] == "@everyone"


async def test_subcommands(bot: RawBot, playground: Playground) -> None:
    stealth = {
        "type": 1,
        "name": "stealth",
        "description": "d",
        "options": [{"type": 5, "name": "on", "description": "d"}],
    }
    group = {"type": 2, "name": "privacy", "description": "d", "options": [stealth]}
    await bot.put_commands([{"name": "settings", "description": "d", "options": [group]}])
    task = asyncio.create_task(playground.user("Mia").slash("settings privacy stealth", on=True))
    interaction = await bot.interaction()
    assert interaction["data"]["options"][0]["options"][0]["options"][0]["value"] is True
    reply = (await bot.respond(interaction, 4, {"content": "x"})).body["resource"]["message"]
    assert reply["interaction"]["name"] == "settings privacy stealth"
    await task
    with pytest.raises(DiscordError):
        await playground.user("Mia").slash("settings")


async def test_who_and_where(bot: RawBot, playground: Playground) -> None:
    await bot.put_commands(
        [
            {"name": "manage", "description": "d", "default_member_permissions": 32},
            {"name": "grown", "description": "d", "nsfw": True},
            {"name": "public", "description": "d", "contexts": [0]},
            {"name": "private", "description": "d", "contexts": [1]},
        ]
    )
    mia, robin = playground.user("Mia"), playground.user("Robin")
    assert [c["name"] for c in robin.commands()] == ["manage", "grown", "public", "private"]
    assert {c["name"]: c.get("contexts") for c in mia.commands()}["manage"] == [1]
    members = playground._services.members
    ids = {c["name"]: c["id"] for c in robin.commands()}
    refused = [
        (mia, "general", "manage", 50013),
        (mia, "general", "grown", 50024),
        (mia, "dm", "public", 50024),
        (mia, "general", "private", 50024),
    ]
    for member, channel, name, code in refused:
        with pytest.raises(DiscordError, match=str(code)):
            members.slash(member.id, member.channel(channel).id, ids[name], [])
    with pytest.raises(DiscordError, match="10063"):
        members.slash(mia.id, mia.channel("general").id, "1", [])
    for member, channel, name in (
        (robin, "general", "manage"),
        (mia, "after-dark", "grown"),
        (mia, "dm", "private"),
    ):
        task = asyncio.create_task(member.slash(name, channel=channel))
        await bot.respond(await bot.interaction(), 5)
        assert (await task).kind == "ok"


async def test_context_menus(bot: RawBot, playground: Playground) -> None:
    await bot.put_commands([{"type": 3, "name": "Describe"}, {"type": 2, "name": "Gallery"}])
    mia, theo = playground.user("Mia"), playground.user("Theo")
    said = await theo.say("hello")
    task = asyncio.create_task(mia.context_menu("Describe", said))
    interaction = await bot.interaction()
    assert interaction["data"]["resolved"]["messages"][said["id"]]["content"] == "hello"
    reply = await bot.respond(interaction, 4, {"content": "x"})
    assert reply.body["resource"]["message"]["type"] == 23
    await task
    task = asyncio.create_task(mia.context_menu("Gallery", {"id": theo.id}))
    interaction = await bot.interaction()
    assert interaction["data"]["target_id"] == theo.id
    metadata = (await bot.respond(interaction, 4, {"content": "x"})).body["resource"]["message"][
        "interaction_metadata"
    ]
    assert metadata["target_user"]["id"] == theo.id
    await task
    secret = await theo.say("hidden", channel="dm")
    with pytest.raises(DiscordError):
        await mia.context_menu("Describe", secret, channel="general")
