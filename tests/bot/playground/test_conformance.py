"""Every request of a discord.py bot and every reply of the stand-in against Discord's own spec."""

from __future__ import annotations

import asyncio

from bot.playground import Playground
from bot.playground.permissions import Permission
from tests.bot.playground.raw_bot import RawBot, png
from tests.bot.playground.sample import sample_bot
from tests.bot.playground.spec_referee import referee_or_skip


async def test_a_discord_py_bot() -> None:
    referee = referee_or_skip()
    async with Playground(None) as playground:
        playground.observe(referee)
        async with sample_bot(playground):
            mia, robin = playground.user("Mia"), playground.user("Robin")
            upload = await mia.upload("a.png", png())
            await mia.complete("imagine", "style", "i", prompt="x")
            await mia.slash("imagine", prompt="a boat", image=upload)
            grid = await mia.wait_for(lambda message: "done" in message["content"])
            await mia.click(grid, "U1")
            await mia.wait_for(lambda message: "Picture 1" in message["content"])
            remix = await mia.click(grid, "Remix")
            await mia.submit(remix, {"Strength": ["low"], "Image": [upload]})
            await mia.slash("whisper", text="psst")
            await mia.wait_for(lambda message: "psst by" in message["content"], channel="dm")
            await mia.context_menu("Describe image", grid)
            await robin.slash("setup")
            await mia.slash("gallery", channel="after-dark")
            await mia.wait_for(lambda message: message["components"], channel="after-dark")
    assert len(referee) > 15
    assert referee.complaints() == []


async def test_the_rest_of_the_routes(playground: Playground, bot: RawBot, general: str) -> None:
    referee = referee_or_skip()
    playground.observe(referee)
    guild, mia = playground.channel("general").guild_id, playground.user("Mia").id
    for path in (
        "/users/@me",
        f"/users/{mia}",
        "/users/1",
        "/users/@me/guilds",
        "/gateway",
        "/gateway/bot",
        "/oauth2/applications/@me",
        "/applications/@me",
        f"/applications/{bot.application_id}/commands",
        f"/applications/{bot.application_id}/guilds/{guild}/commands",
        f"/guilds/{guild}?with_counts=true",
        f"/guilds/{guild}/channels",
        f"/guilds/{guild}/roles",
        f"/guilds/{guild}/members/{mia}",
        f"/channels/{general}",
        f"/channels/{playground.user('Mia').channel('dm').id}",
        "/channels/1",
    ):
        await bot.call("GET", path)
    messages = f"/channels/{general}/messages"
    buttons = [{"type": 2, "style": style, "label": "b", "custom_id": str(style)} for style in (1, 2, 3, 4)]
    link = {
        "type": 2,
        "style": 5,
        "label": "Link",
        "url": "https://example.org",
        "emoji": {"id": None, "name": "🔗"},
    }
    select = {"type": 3, "custom_id": "s", "options": [{"label": "a", "value": "a"}]}
    sent = {
        "content": f"<@{mia}>",
        "components": [{"type": 1, "components": [*buttons, link]}, {"type": 1, "components": [select]}],
        "embeds": [
            {
                "title": "t",
                "timestamp": "2026-01-01T00:00:00+00:00",
                "fields": [{"name": "n", "value": "v", "inline": True}],
                "image": {"url": "attachment://a.png"},
                "footer": {"text": "f", "icon_url": "attachment://a.png"},
                "author": {"name": "a"},
            }
        ],
        "nonce": "n",
        "enforce_nonce": True,
    }
    posted = (await bot.call("POST", messages, sent, files={"a.png": png()})).body
    await bot.call(
        "POST", messages, {"content": "re", "message_reference": {"message_id": int(posted["id"])}}
    )
    await bot.call("PATCH", f"{messages}/{posted['id']}", {"content": "y", "attachments": [], "embeds": []})
    parts = [
        {
            "type": 9,
            "components": [{"type": 10, "content": "x"}],
            "accessory": {"type": 11, "media": {"url": "attachment://a.png"}},
        },
        {"type": 14},
        {"type": 13, "file": {"url": "attachment://a.png"}},
        {"type": 12, "items": [{"media": {"url": "https://example.org/a.png"}}]},
    ]
    v2 = {"flags": 1 << 15, "components": [{"type": 17, "accent_color": 5, "components": parts}]}
    await bot.call("POST", messages, v2, files={"a.png": png()})
    await bot.call("GET", messages)
    await bot.call("POST", messages, {"content": "x" * 2001})
    await bot.call("POST", "/attachments/refresh-urls", {"attachment_urls": ["https://example.org/a.png"]})
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    await bot.call("POST", messages, {"content": "x"})
    await bot.call("GET", f"/channels/{general}")
    await bot.call("GET", "/users/@me", token="wrong")
    playground.faults.rate_limit("GET /users/@me")
    assert (await bot.call("GET", "/users/@me")).status == 429
    for _ in range(8):
        await bot.call("POST", f"/channels/{general}/typing")
    menu = {"type": 3, "name": "Describe"}
    options = [
        {"type": 4, "name": "n", "description": "d", "min_value": 1, "max_value": 4, "required": True},
        {"type": 3, "name": "s", "description": "d", "choices": [{"name": "a", "value": "a"}]},
        {"type": 11, "name": "a", "description": "d"},
    ]
    localized = {
        "name": "draw",
        "description": "d",
        "options": options,
        "name_localizations": {"de": "malen"},
    }
    await bot.put_commands(
        [
            menu,
            {
                **localized,
                "default_member_permissions": 32,
                "contexts": [0, 1, 2],
                "integration_types": [0, 1],
            },
        ]
    )
    await bot.put_commands([{"name": "here", "description": "d"}], guild)
    task = asyncio.create_task(playground.user("Mia").context_menu("Describe", posted))
    interaction = await bot.interaction()
    await bot.respond(interaction, 5, {"flags": 64})
    await task
    await bot.respond(interaction, 5)
    await bot.call("GET", bot.webhook(interaction, "/messages/@original"))
    await bot.call("POST", bot.webhook(interaction), {"content": "a"})
    await bot.call("POST", bot.webhook(interaction), {"content": "b"})
    await bot.call("DELETE", bot.webhook(interaction, "/messages/@original"))
    assert referee.complaints() == []
