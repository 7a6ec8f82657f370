from __future__ import annotations

import asyncio

import pytest

from bot.playground import JumpingClock, Playground
from bot.playground.bot_events import MESSAGE_CONTENT
from bot.playground.permissions import Permission
from tests.bot.playground.raw_bot import RawBot, png


async def test_post_edit_delete(bot: RawBot, playground: Playground, general: str) -> None:
    theo = playground.user("Theo")
    path = f"/channels/{general}/messages"
    posted = await bot.call(
        "POST",
        path,
        {"content": "one", "attachments": [{"id": 0, "description": "red"}]},
        files={"a b.png": png()},
    )
    assert posted.status == 200
    assert posted.headers["Content-Type"] == "application/json"
    picture = posted.body["attachments"][0]
    assert (picture["filename"], picture["width"], picture["height"]) == ("a_b.png", 8, 8)
    assert (picture["content_type"], picture["description"]) == ("image/png", "red")
    assert theo.messages()[-1] == posted.body

    message = f"{path}/{posted.body['id']}"
    edited = (
        await bot.call("PATCH", message, {"content": "two", "attachments": []}, files={"b.png": png(4, 2)})
    ).body
    assert [a["filename"] for a in edited["attachments"]] == ["b.png"]
    assert edited["edited_timestamp"] is not None
    kept = (
        await bot.call(
            "PATCH",
            message,
            {"attachments": [{"id": int(edited["attachments"][0]["id"])}]},
            files={"c.png": png()},
        )
    ).body
    assert [a["filename"] for a in kept["attachments"]] == ["b.png", "c.png"]
    assert kept["content"] == "two"

    assert (await bot.call("DELETE", message)).status == 204
    assert (await bot.call("GET", message)).code == 10008
    assert theo.messages() == []


async def test_edits_at_once_do_not_undo_each_other(
    bot: RawBot, playground: Playground, general: str, clock: JumpingClock
) -> None:
    path = f"/channels/{general}/messages"
    posted = (await bot.call("POST", path, {"content": "one"})).body
    message = f"{path}/{posted['id']}"
    await asyncio.gather(
        *(bot.call("PATCH", message, {}, files={f"{name}.png": png()}) for name in "ab"),
        bot.call("PATCH", message, {"content": "two"}),
    )
    shown = playground.user("Mia").messages()[-1]
    assert shown["content"] == "two"
    assert {attachment["filename"] for attachment in shown["attachments"]} == {"a.png", "b.png"}


async def test_a_message_that_goes_while_its_files_come(
    bot: RawBot, playground: Playground, general: str, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = playground._services
    path = f"/channels/{general}/messages"
    posted = (await bot.call("POST", path, {"content": "one"})).body
    keep = services.state.store.write_file

    async def slowly(name: str, content: bytes) -> None:
        await keep(name, content)
        services.messages.delete(services.state.messages[posted["id"]])

    monkeypatch.setattr(services.state.store, "write_file", slowly)
    assert (await bot.call("PATCH", f"{path}/{posted['id']}", {}, files={"a.png": png()})).code == 10008
    clock.advance(61)
    assert list(services.state.attachments) == []
    assert await services.state.store.file_names() == set()


async def test_the_history_without_the_message_content_intent(
    bot: RawBot, playground: Playground, general: str
) -> None:
    said = await playground.user("Mia").say("among ourselves")
    await playground.user("Mia").say(f"<@{bot.application_id}> to the bot")
    path = f"/channels/{general}/messages"
    read = [message["content"] for message in (await bot.call("GET", path)).body]
    assert read == [f"<@{bot.application_id}> to the bot", ""]
    assert (await bot.call("GET", f"{path}/{said['id']}")).body["content"] == ""
    playground._services.gateway.allowed_intents |= MESSAGE_CONTENT
    assert (await bot.call("GET", f"{path}/{said['id']}")).body["content"] == "among ourselves"


async def test_eleven_files(bot: RawBot, general: str) -> None:
    listed = [{"id": n, "description": str(n)} for n in range(11)]
    reply = await bot.call(
        "POST",
        f"/channels/{general}/messages",
        {"attachments": listed},
        files={f"{n}": b"x" for n in range(11)},
    )
    assert (reply.status, reply.code) == (400, 30015)


async def test_an_embed_hides_its_attachment(bot: RawBot, general: str) -> None:
    path = f"/channels/{general}/messages"
    embed = {
        "title": "x",
        "image": {"url": "attachment://a.png"},
        "footer": {"text": "f", "icon_url": "attachment://a.png"},
    }
    posted = (await bot.call("POST", path, {"embeds": [embed]}, files={"a.png": png()})).body
    assert posted["attachments"] == []
    image = posted["embeds"][0]["image"]
    assert (image["width"], image["url"]) == (8, image["proxy_url"])
    assert (await bot.fetch(image["url"])).content == png()

    # discord.py sends an embed back with the address it was shown, which must not lose the picture.
    again = (
        await bot.call("PATCH", f"{path}/{posted['id']}", {"embeds": posted["embeds"], "attachments": []})
    ).body
    assert again["embeds"][0]["image"]["width"] == 8
    uncovered = (await bot.call("PATCH", f"{path}/{posted['id']}", {"embeds": []})).body
    assert [a["filename"] for a in uncovered["attachments"]] == ["a.png"]


async def test_components_v2(bot: RawBot, general: str) -> None:
    path = f"/channels/{general}/messages"
    gallery = {"type": 12, "items": [{"media": {"url": "attachment://a.png"}, "description": "alt"}]}
    button = {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}
    container = {"type": 17, "components": [{"type": 10, "content": "hi"}, gallery, button]}
    sent = {"flags": 1 << 15, "components": [container]}
    posted = (await bot.call("POST", path, sent, files={"a.png": png()})).body
    shown = posted["components"][0]["components"]
    assert shown[1]["items"][0]["media"]["attachment_id"] == posted["attachments"][0]["id"]
    assert len({component["id"] for component in (posted["components"][0], *shown)}) == 4

    missing = await bot.call("POST", path, {"flags": 1 << 15, "components": [gallery]})
    assert missing.error("components", 0, "items", 0, "media", "url").startswith("UNFURLED_MEDIA_ITEM")
    legacy = await bot.call("PATCH", f"{path}/{posted['id']}", {"content": "text"})
    assert legacy.error("content") == "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
    plain = (await bot.call("POST", path, {"content": "text"})).body
    turned = {"flags": 1 << 15, "components": [{"type": 10, "content": "x"}]}
    assert (await bot.call("PATCH", f"{path}/{plain['id']}", turned)).error("content")
    assert (
        await bot.call("PATCH", f"{path}/{plain['id']}", {**turned, "content": None, "embeds": []})
    ).status == 200


async def test_a_nonce_posts_once(bot: RawBot, clock: JumpingClock, general: str) -> None:
    path = f"/channels/{general}/messages"
    sent = {"content": "grid", "nonce": "Zm91cmZvbGQtam9iLXV1aWQ", "enforce_nonce": True}
    first = (await bot.call("POST", path, sent)).body
    assert (await bot.call("POST", path, sent, files={"a.png": png()})).body["id"] == first["id"]
    assert (await bot.call("POST", path, {**sent, "enforce_nonce": False})).body["id"] != first["id"]
    clock.advance(600)
    assert (await bot.call("POST", path, sent)).body["id"] != first["id"]


async def test_listing(bot: RawBot, clock: JumpingClock, general: str) -> None:
    path = f"/channels/{general}/messages"
    ids = []
    for number in range(7):
        clock.advance(5)
        ids.append((await bot.call("POST", path, {"content": str(number)})).body["id"])

    async def listed(query: str) -> str:
        return "".join(message["content"] for message in (await bot.call("GET", f"{path}?{query}")).body)

    assert await listed("limit=3") == "654"
    assert await listed(f"before={ids[3]}&limit=2") == "21"
    assert await listed(f"after={ids[3]}&limit=2") == "54"
    assert await listed(f"around={ids[3]}&limit=3") == "432"
    assert (await bot.call("GET", f"{path}?limit=101")).error("limit")


async def test_mentions(bot: RawBot, playground: Playground, general: str) -> None:
    path = f"/channels/{general}/messages"
    mia, theo = playground.user("Mia").id, playground.user("Theo").id
    text = f"@everyone <@{mia}> <@{theo}>"
    loud = (await bot.call("POST", path, {"content": text})).body
    assert [user["id"] for user in loud["mentions"]] == [mia, theo]
    assert loud["mention_everyone"] is False  # The bot may not.
    quiet = (await bot.call("POST", path, {"content": text, "allowed_mentions": {"parse": []}})).body
    assert quiet["mentions"] == []
    # discord.py sends ids as integers.
    one = (
        await bot.call(
            "POST", path, {"content": text, "allowed_mentions": {"parse": [], "users": [int(mia)]}}
        )
    ).body
    assert [user["id"] for user in one["mentions"]] == [mia]
    reply = {
        "content": "re",
        "message_reference": {"message_id": int(one["id"])},
        "allowed_mentions": {"replied_user": True},
    }
    answer = (await bot.call("POST", path, reply)).body
    assert (answer["type"], answer["referenced_message"]["id"]) == (19, one["id"])
    assert "referenced_message" not in answer["referenced_message"]


async def test_direct_messages(bot: RawBot, playground: Playground) -> None:
    mia = playground.user("Mia")
    channel = (await bot.call("POST", "/users/@me/channels", {"recipient_id": int(mia.id)})).body
    assert (channel["type"], channel["recipients"][0]["id"]) == (1, mia.id)
    assert (await bot.call("POST", f"/channels/{channel['id']}/messages", {"content": "psst"})).status == 200
    assert [message["content"] for message in mia.messages("dm")] == ["psst"]
    with pytest.raises(LookupError):
        playground.user("Theo").channel(channel["id"])
    playground.set_accepts_dms("Mia", False)
    assert (await bot.call("POST", f"/channels/{channel['id']}/messages", {"content": "psst"})).code == 50007
    assert (await bot.call("POST", "/users/@me/channels", {"recipient_id": 1})).code == 10013


async def test_rights(bot: RawBot, playground: Playground, general: str, clock: JumpingClock) -> None:
    path = f"/channels/{general}/messages"
    playground.set_bot_permissions("general", deny=Permission.ATTACH_FILES)
    assert (await bot.call("POST", path, {}, files={"a.png": png()})).code == 50013
    posted = await bot.call("POST", path, {"content": "text only"})
    assert posted.status == 200
    playground.set_bot_permissions("general", deny=Permission.EMBED_LINKS)
    embeds = {"embeds": [{"title": "x"}]}
    assert (await bot.call("POST", path, embeds)).code == 50013
    assert (await bot.call("POST", path, {"content": "x", **embeds})).body["embeds"] == []
    assert (await bot.call("PATCH", f"{path}/{posted.body['id']}", embeds)).body["embeds"] == []
    clock.advance(5)
    playground.set_bot_permissions("general", deny=Permission.SEND_MESSAGES)
    assert (await bot.call("POST", path, {"content": "x"})).code == 50013
    playground.set_bot_permissions("general", deny=Permission.VIEW_CHANNEL)
    refused = await bot.call("PATCH", f"{path}/{posted.body['id']}", {"content": "x"})
    assert (refused.status, refused.code) == (403, 50001)
    playground.set_bot_permissions("general")
    assert (await bot.event("CHANNEL_UPDATE"))["d"]["permission_overwrites"] != []

    said = await playground.user("Mia").say("mine")
    assert (await bot.call("PATCH", f"{path}/{said['id']}", {"content": "x"})).code == 50005
    assert (await bot.call("DELETE", f"{path}/{said['id']}")).code == 50013
    playground.set_bot_permissions("general", allow=Permission.MANAGE_MESSAGES)
    assert (await bot.call("DELETE", f"{path}/{said['id']}")).status == 204
    assert playground.invalid_requests == 6

    playground.delete_channel("general")
    assert (await bot.call("POST", path, {"content": "x"})).code == 10003
    assert (await bot.event("CHANNEL_DELETE"))["d"]["id"] == general
    assert (await bot.call("GET", "/channels/1")).code == 10003


async def test_upload_limits(bot: RawBot, playground: Playground, general: str) -> None:
    path = f"/channels/{general}/messages"
    playground.set_upload_limit(1000)
    refused = await bot.call("POST", path, {}, files={"a.bin": bytes(1001)})
    assert (refused.status, refused.code) == (413, 40005)
    assert (await bot.call("POST", path, {}, files={"a.bin": bytes(1000)})).status == 200
    playground.set_upload_limit(None)
    assert (await bot.call("POST", path, {}, files={"a.bin": bytes((10 << 20) + 1)})).status == 413
    assert (await bot.call("POST", path, {}, files={f"{n}.png": png() for n in range(11)})).code == 30015
    assert (await bot.call("POST", path, {"content": " "})).code == 50006


async def test_other_routes(bot: RawBot, playground: Playground, general: str) -> None:
    mia = playground.user("Mia").id
    guild = playground.channel("general").guild_id
    assert (await bot.call("GET", "/users/@me", token="wrong")).status == 401
    assert (await bot.call("GET", "/gateway")).body["url"].startswith("ws://127.0.0.1:")
    assert (await bot.call("GET", "/oauth2/applications/@me")).body["id"] == bot.application_id
    assert (await bot.call("GET", f"/users/{mia}")).body["global_name"] == "Mia"
    assert (await bot.call("GET", f"/guilds/{guild}?with_counts=1")).body["approximate_member_count"] == 5
    assert (await bot.call("GET", f"/guilds/{guild}/members/{mia}")).body["user"]["id"] == mia
    assert (await bot.call("GET", f"/guilds/{guild}/members/1")).code == 10007
    assert (await bot.call("GET", f"/channels/{general}")).body["name"] == "general"
    assert (await bot.call("GET", "/nowhere")).body == {"message": "404: Not Found", "code": 0}
    assert (await bot.call("POST", f"/channels/{general}/typing")).status == 204
    assert (await bot.call("GET", "/users/@me", host="evil.example")).status == 403
