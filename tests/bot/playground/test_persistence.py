from __future__ import annotations

import asyncio
import re
import shutil
import socket
import sqlite3
import sys
from pathlib import Path

import aiohttp
import pytest

from bot.playground import JumpingClock, Playground
from bot.playground.events import Event, ResponseOverdue
from bot.playground.store import SqliteStore, StoreError
from tests.bot.playground.raw_bot import RawBot, png


async def test_an_interaction_token_outlives_a_restart(tmp_path: Path) -> None:
    commands = [{"name": "draw", "description": "d"}]
    clock = JumpingClock(frozen=True)
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground) as bot:
        await bot.put_commands(commands)
        task = asyncio.create_task(playground.user("Mia").slash("draw"))
        interaction = await bot.interaction()
        await bot.respond(interaction, 5, {"flags": 64})
        await task
        before = playground.user("Mia").commands()
    clock.advance(600)
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground) as bot:
        assert playground.user("Mia").commands() == before
        original = bot.webhook(interaction, "/messages/@original")
        assert (await bot.call("PATCH", original, {"content": "done"}, files={"a.png": png()})).status == 200
        assert playground.user("Mia").messages()[-1]["content"] == "done"
        assert playground.user("Theo").messages() == []
        # A command that keeps its name keeps its id.
        assert (await bot.put_commands(commands)).body[0]["id"] == before[0]["id"]
        clock.advance(301)
        assert (await bot.call("PATCH", original, {"content": "x"})).code == 50027


async def test_a_deferral_left_open_ends_after_a_restart(tmp_path: Path, clock: JumpingClock) -> None:
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground) as bot:
        await bot.put_commands([{"name": "draw", "description": "d"}])
        task = asyncio.create_task(playground.user("Mia").slash("draw"))
        await bot.respond(await bot.interaction(), 5)
        await task
        late = asyncio.create_task(playground.user("Mia").slash("draw"))
        unanswered = await bot.interaction()
        late.cancel()
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground) as bot:
        seen: list[Event] = []
        playground._services.events.subscribe(seen.append)
        clock.advance(901)
        assert [type(event) for event in seen] == [ResponseOverdue]
        assert (await bot.respond(unanswered, 5)).code == 10062


async def test_files_that_nothing_shows_are_removed(tmp_path: Path, clock: JumpingClock) -> None:
    files = tmp_path / "playground" / "attachments"
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground, connect=False) as bot:
        path = f"/channels/{playground.channel('general').id}/messages"
        posted = (await bot.call("POST", path, {}, files={"a.png": png()})).body
        await bot.call("PATCH", f"{path}/{posted['id']}", {"attachments": []}, files={"b.png": png()})
        # The replaced file lingers: a page may be loading it.
        assert (await bot.fetch(posted["attachments"][0]["url"])).status == 200
        clock.advance(61)
        assert (await bot.fetch(posted["attachments"][0]["url"])).status == 404
        await playground.user("Mia").upload("b2.png", png())
        clock.advance(25 * 3600)
        assert len(playground._services.state.attachments._rows) == 1
        await playground.user("Mia").upload("c.png", png())
    (files / "stray").write_bytes(b"x")
    assert len(list(files.iterdir())) == 3
    clock.advance(25 * 3600)
    async with Playground(tmp_path, clock=clock) as playground:
        assert len(playground.user("Mia").messages()) == 1
    assert len(list(files.iterdir())) == 1


async def test_the_next_free_port() -> None:
    async with Playground(None) as first:
        port = int(first.origin.rpartition(":")[2])
        async with Playground(None, port=port) as second:
            assert port < int(second.origin.rpartition(":")[2]) < port + 50


async def test_one_process_owns_the_state(tmp_path: Path) -> None:
    async with Playground(tmp_path) as playground:
        await playground.user("Mia").say("still here")
        command = [sys.executable, "-m", "bot.playground", "--home", str(tmp_path), "--port", "0"]
        for more in ([], ["--reset"]):
            second = await asyncio.create_subprocess_exec(*command, *more, stderr=asyncio.subprocess.PIPE)
            _, complaint = await second.communicate()
            assert second.returncode == 1
            assert re.fullmatch(rb"Another playground is running with .*\. Stop it, .*\s*", complaint)
        with pytest.raises(StoreError, match="Another playground"):
            async with Playground(tmp_path):
                pass
    async with Playground(tmp_path) as playground:
        assert [message["content"] for message in playground.user("Mia").messages()] == ["still here"]
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used"):
        async with Playground(tmp_path / "file"):
            pass


async def test_the_last_port_has_no_next() -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 65535))
        except OSError:
            pytest.skip("port 65535 is somebody else's")
        taken.listen()
        with pytest.raises(OSError, match="65535"):
            async with Playground(None, port=65535):
                pass


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--port", "70000"], b"0 and 65535"), (["--bot", "nothing.py"], b"not a file")],
)
async def test_wrong_arguments(arguments: list[str], complaint: bytes) -> None:
    command = [sys.executable, "-m", "bot.playground", *arguments]
    started = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await started.communicate()
    assert started.returncode == 2
    assert complaint in said
    assert b"Traceback" not in said


async def test_state_of_an_earlier_version_opens(tmp_path: Path, clock: JumpingClock) -> None:
    async with Playground(tmp_path, clock=clock) as playground, RawBot(playground) as bot:
        await bot.put_commands([{"name": "draw", "description": "d"}])
        task = asyncio.create_task(playground.user("Mia").slash("draw"))
        await bot.respond(await bot.interaction(), 4, {"content": "x"}, files={"a.png": png()})
        await task
        before = playground.user("Mia").messages()
    database = sqlite3.connect(tmp_path / "playground" / "playground.sqlite3", isolation_level=None)
    assert database.execute("PRAGMA user_version").fetchone() == (2,)
    database.execute("PRAGMA user_version = 1")
    for kind, field in (("attachment", "title"), ("interaction", "deferred_ephemeral")):
        changed = database.execute(
            "UPDATE rows SET body = json_set(body, ?, NULL) WHERE kind = ?", (f"$.{field}", kind)
        )
        assert changed.rowcount == 1
    database.close()
    for _ in range(2):
        async with Playground(tmp_path, clock=clock) as playground:
            after = playground.user("Mia").messages()
            assert len(after) == 1
            assert after[0]["attachments"][0]["id"] == before[0]["attachments"][0]["id"]


async def test_state_that_cannot_be_read(tmp_path: Path) -> None:
    async with Playground(tmp_path):
        pass
    path = tmp_path / "playground" / "playground.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer version"):
        async with Playground(tmp_path):
            pass
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    for change in (
        "INSERT INTO rows VALUES ('user', '1', '{\"shape\": \"other\"}')",
        "INSERT INTO rows VALUES ('user', '1', '[]')",
        "INSERT INTO rows VALUES ('message', 'x', json_object('id', 'x', 'channel_id', '1', 'author_id', '1',"
        " 'type', 0, 'content', '', 'flags', 0, 'timestamp', 0))",
        "DELETE FROM rows WHERE kind = 'guild'",
        "DELETE FROM rows WHERE kind = 'secrets'",
    ):
        shutil.copytree(tmp_path / "playground", tmp_path / "other" / "playground", dirs_exist_ok=True)
        with sqlite3.connect(tmp_path / "other" / "playground" / path.name) as database:
            database.execute(change)
        database.close()
        with pytest.raises(StoreError, match="another version"):
            async with Playground(tmp_path / "other"):
                pass
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="--reset"):
        async with Playground(tmp_path):
            pass


async def test_a_write_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.load()
    store.put("user", "1", {"a": 1})
    await store.flush()
    database = sqlite3.connect(tmp_path / "playground.sqlite3", isolation_level=None)
    database.execute("ALTER TABLE rows RENAME TO elsewhere")
    store.put("user", "1", {"a": 2})
    store.put("user", "2", {"a": 2})
    first, second = await asyncio.gather(store.flush(), store.flush(), return_exceptions=True)
    assert isinstance(first, sqlite3.OperationalError)
    assert isinstance(second, sqlite3.OperationalError)
    store.put("user", "2", {"a": 3})
    database.execute("ALTER TABLE elsewhere RENAME TO rows")
    await store.flush()
    assert database.execute("SELECT id, body FROM rows ORDER BY id").fetchall() == [
        ("1", '{"a": 2}'),
        ("2", '{"a": 3}'),
    ]
    database.execute("DROP TABLE rows")
    database.close()
    store.delete("user", "1")
    with pytest.raises(sqlite3.OperationalError):
        await store.close()


async def test_what_was_answered_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second reader of the file sees what a killed process would have left behind."""

    def kept(kind: str) -> set[str]:
        database = sqlite3.connect(tmp_path / "playground" / "playground.sqlite3")
        rows = database.execute("SELECT id FROM rows WHERE kind = ?", (kind,)).fetchall()
        database.close()
        return {row_id for (row_id,) in rows}

    # Nothing is written by itself soon enough to be there by chance.
    monkeypatch.setattr(SqliteStore, "_later", lambda store, *row: store._pending.update({row[:2]: row[2]}))
    async with Playground(tmp_path) as playground, RawBot(playground, connect=False) as bot:
        path = f"/channels/{playground.channel('general').id}/messages"
        posted = (await bot.call("POST", path, {"content": "x"})).body
        assert posted["id"] in kept("message")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            await (await browser.get(playground.page_url)).read()
            url = f"{playground.origin}/page/socket"
            async with browser.ws_connect(url, headers={"Origin": playground.origin}) as tab:
                await tab.receive_json()
                channel = playground.channel("general").id
                await tab.send_json({"op": "say", "n": 1, "channel_id": channel, "content": "y"})
                said = {frame["op"]: frame for frame in [await tab.receive_json() for _ in range(2)]}
                assert said["message_create"]["message"]["id"] in kept("message")
                ephemeral = playground._services.messages.draft(
                    channel, bot.application_id, viewer_id=playground.user("Mia").id
                )
                playground._services.state.add_message(ephemeral)
                await playground._services.state.store.flush()
                assert ephemeral.id in kept("message")
                await tab.send_json({"op": "dismiss", "n": 2, "message_id": ephemeral.id})
                while (await tab.receive_json())["op"] != "ok":
                    pass
                assert ephemeral.id not in kept("message")
