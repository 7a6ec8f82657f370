"""The front door: one object that is a whole small Discord while its `async with` block runs."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.playground.clock import Clock, SystemClock
from bot.playground.events import ChannelDeleted, ChannelUpdated
from bot.playground.faults import Faults
from bot.playground.permissions import NOTHING, Permission
from bot.playground.server import Exchange, Server
from bot.playground.services import assemble
from bot.playground.state import Channel, User
from bot.playground.store import MemoryStore, SqliteStore, lock_folder
from bot.playground.user_session import UserSession

FOLDER = "playground"
"""The folder inside `home` that holds all of the playground's state."""

PORTS_TO_TRY = 50


class Playground:
    """A local stand-in for Discord on 127.0.0.1.

    home: the folder whose `playground` subfolder keeps everything; None keeps it in memory.
    port: the first port to try, a busy one gives way to the next; 0 takes any free one.
    Raises StoreError for state that another process uses or that cannot be read, and OSError when no port is free.
    """

    def __init__(
        self, home: Path | None, port: int = 0, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.faults = Faults() if faults is None else faults
        store = MemoryStore() if home is None else SqliteStore(home / FOLDER)
        self._services = assemble(store, self.clock, self.faults)
        self._server = Server(self._services)
        self._first_port = port
        self._runner: web.AppRunner | None = None
        self.origin = ""
        """"http://127.0.0.1:PORT": REST stands at <origin>/api/v10, `GET /gateway/bot` there names the gateway."""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    @property
    def bot_token(self) -> str:
        return self._services.state.secrets.bot_token

    @property
    def page_url(self) -> str:
        return f"{self.origin}/?key={self._services.state.secrets.page_key}"

    @property
    def bot_online(self) -> bool:
        return self._services.gateway.online

    @property
    def identifies(self) -> int:
        """How many IDENTIFYs the gateway has accepted since the start."""
        return self._services.gateway.identifies

    @property
    def late_heartbeats(self) -> int:
        """How many of the bot's heartbeats came late since the start."""
        return self._services.gateway.late_heartbeats

    @property
    def invalid_requests(self) -> int:
        """How many requests were answered 401, 403 or 429, which Discord counts towards a ban."""
        return self._server.invalid_requests

    def user(self, name_or_id: str) -> UserSession:
        """A member by display name, user name or id; raises LookupError."""
        return UserSession(self._services, self._user(name_or_id))

    def observe(self, observer: Callable[[Exchange], None]) -> None:
        """Call `observer` with every REST request and its reply."""
        self._server.observers.append(observer)

    # Switches that a test turns; the bot is told what Discord would tell it.

    def set_bot_permissions(
        self, channel: str, *, deny: Permission = NOTHING, allow: Permission = NOTHING
    ) -> None:
        """Overwrite the bot's permissions in a channel; with neither, lift the overwrite again."""
        found = self.channel(channel)
        bot = self._services.state.application_id
        found.overwrites = [overwrite for overwrite in found.overwrites if overwrite["id"] != bot]
        if deny or allow:
            found.overwrites.append({"id": bot, "type": 1, "allow": str(int(allow)), "deny": str(int(deny))})
        self._services.state.channels.put(found)
        self._services.events.publish(ChannelUpdated(found))

    def delete_channel(self, channel: str) -> None:
        found = self.channel(channel)
        self._services.state.remove_channel(found)
        self._services.events.publish(ChannelDeleted(found))

    def set_upload_limit(self, size: int | None) -> None:
        """Bytes per file, below what the guild's boost tier promises; None restores the tier's."""
        guild = self._services.state.guild
        guild.upload_limit = size
        self._services.state.guilds.put(guild)

    def set_accepts_dms(self, user: str, accepts: bool) -> None:
        """Whether this member can be sent direct messages (else 50007)."""
        found = self._user(user)
        found.accepts_dms = accepts
        self._services.state.users.put(found)

    def set_shards(self, count: int) -> None:
        """The shard count that `GET /gateway/bot` recommends."""
        self._services.gateway.shards = count

    def channel(self, name: str) -> Channel:
        """A channel of the guild by name, or any channel by id; raises LookupError."""
        for channel in self._services.state.channels:
            if name.removeprefix("#") in (channel.id, channel.name):
                return channel
        raise LookupError(f"there is no channel {name!r}")

    async def _start(self) -> None:
        await self._services.state.load()
        self._services.interactions.resume()
        # aiohttp would wait a minute for open sockets; `__aexit__` has closed them by then.
        self._runner = web.AppRunner(self._server.application(), access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        port = await self._listen(self._runner)
        self.origin = f"http://127.0.0.1:{port}"
        self._services.attachments.origin = self.origin
        self._services.gateway.url = f"ws://127.0.0.1:{port}/gateway"

    async def _stop(self) -> None:
        await self._services.gateway.close()
        await self._server.page.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._services.state.timers.cancel()
        await self._services.state.store.close()

    def _user(self, name_or_id: str) -> User:
        for user in self._services.state.people:
            if name_or_id in (user.id, user.username, user.global_name):
                return user
        names = ", ".join(user.global_name or user.username for user in self._services.state.people)
        raise LookupError(f"there is no member {name_or_id!r}; there are {names}")

    async def _listen(self, runner: web.AppRunner) -> int:
        last = min(self._first_port + (PORTS_TO_TRY if self._first_port else 1), 1 << 16)
        for port in range(self._first_port, last):
            site = web.TCPSite(runner, "127.0.0.1", port)
            try:
                await site.start()
            except OSError as error:
                await site.stop()
                # Windows answers EACCES for ports it has reserved.
                if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == last - 1:
                    raise
                continue
            chosen = runner.addresses[0][1]
            assert isinstance(chosen, int)
            return chosen
        raise AssertionError("unreachable: the last port raises")


def reset(home: Path) -> None:
    """Forget everything the playground keeps in `home`.

    Raises StoreError while one is running there, and OSError for what cannot be deleted.
    """
    if (home / FOLDER).exists():
        with lock_folder(home / FOLDER):
            shutil.rmtree(home / FOLDER)
