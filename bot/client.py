"""The Discord client: logs in with patience, syncs the commands when they changed, and serves interactions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import discord
import yarl
from discord import app_commands

from bot.cogs import COMMANDS
from bot.errors import StartupError, UserError
from bot.services import Services
from bot.views.forms import answer_form
from bot.views.interactions import tell_error
from bot.views.job_button import JobButton

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds between two attempts while Discord cannot be reached: doubled from the first to the longest."""
COMMANDS_NOTE = "synced_commands"
_TOKEN_REFUSED = (
    "Discord refused the bot's token (DISCORD_TOKEN). Copy it again from the Bot page of your application at"
    " https://discord.com/developers/applications, or press Reset Token there and use the new one."
)
_INTENTS_REFUSED = (
    "Discord refused the intents that Fourfold asks for. It needs no privileged intent; check that the application is"
    " a bot of your own and has not been limited by Discord."
)
_CLOSE_CODES = {4004: _TOKEN_REFUSED, 4013: _INTENTS_REFUSED, 4014: _INTENTS_REFUSED}
_UNREACHABLE = (
    aiohttp.ClientError,
    OSError,
    asyncio.TimeoutError,
    discord.DiscordServerError,
    discord.GatewayNotFound,
)


class FourfoldClient(discord.AutoShardedClient):
    """Answers commands and clicks through `services`; keeps nothing of its own.

    Args:
        services: the use cases; cogs and views reach them through this attribute.
        online: called once, when the bot accepts commands; not after a reconnect.
        sleep: waits between two attempts to reach Discord.
    """

    def __init__(
        self,
        services: Services,
        *,
        guild_ready_timeout: float = 2.0,
        online: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            guild_ready_timeout=guild_ready_timeout,
        )
        self.services = services
        self.tree = FourfoldTree(self)
        self._sleep = sleep
        self._online = online
        self._announced = False
        for command in COMMANDS:
            self.tree.add_command(command)
        self.add_dynamic_items(JobButton)

    async def serve(self, token: str, before_commands: Callable[[], Awaitable[None]]) -> None:
        """Log in, do what has to be done before commands are accepted, and serve until closed.

        Raises:
            StartupError: Discord refuses the token, the intents or the login; trying again now would not help.
        """
        try:
            await self._patiently(lambda: self._login_once(token))
            await self._patiently(self.sync_commands)
            await before_commands()
            await self._patiently(self._connect)
        except discord.LoginFailure as error:
            raise StartupError(_TOKEN_REFUSED) from error
        except discord.HTTPException as error:
            if error.status == 401:
                raise StartupError(_TOKEN_REFUSED) from error
            raise StartupError(
                f"Discord answered {error.status} to the login at {discord.http.Route.BASE}"
                f" ({error.text or error.response.reason}). Check FOURFOLD_DISCORD_API if it is set, and whether a proxy"
                " or firewall stands between; if Discord limits this address, start again in an hour."
            ) from error
        except discord.PrivilegedIntentsRequired as error:
            raise StartupError(_INTENTS_REFUSED) from error
        except discord.ConnectionClosed as error:
            raise StartupError(
                _CLOSE_CODES.get(
                    error.code or 0,
                    f"Discord closed the connection for good (code {error.code}). Start again later.",
                )
            ) from error

    async def sync_commands(self) -> bool:
        """Tell Discord the commands if it does not have exactly these; True if it had to be told."""
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        text = json.dumps([self.application_id, payload], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        known = {command.name for command in await self.tree.fetch_commands()}
        if known == {command.name for command in COMMANDS} and digest == await self.services.notes.get(
            COMMANDS_NOTE
        ):
            return False
        await self.tree.sync()
        await self.services.notes.set(COMMANDS_NOTE, digest)
        return True

    async def _login_once(self, token: str) -> None:
        try:
            await self.login(token)
        except _UNREACHABLE:
            # login() opened an HTTP session; its connector closes with it and has to be made anew as well.
            await self.http.close()
            self.http.connector = discord.utils.MISSING
            raise

    async def _connect(self) -> None:
        # discord.py keeps to its built-in gateway address whenever a session cannot be resumed; what Discord names holds.
        try:
            self.shard_count, gateway, _ = await self.http.get_bot_gateway()
        except discord.GatewayNotFound as error:
            if isinstance(error.__cause__, discord.HTTPException) and error.__cause__.status == 401:
                raise error.__cause__ from None
            raise
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        await self.connect()

    async def _patiently(self, attempt: Callable[[], Awaitable[Any]]) -> None:
        delay = FIRST_DELAY
        while not self.is_closed():
            try:
                await attempt()
            except _UNREACHABLE as error:
                if self.is_closed():
                    raise
                log.warning("Discord cannot be reached (%s); trying again in %.0f s", error, delay)
                await self._sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                return

    async def on_interaction(self, interaction: discord.Interaction[FourfoldClient]) -> None:
        """Forms, which discord.py itself would only know until the next start; the rest is its own business."""
        if interaction.type is discord.InteractionType.modal_submit:
            await answer_form(interaction)

    async def on_ready(self) -> None:
        log.info("online as %s in %d servers", self.user, len(self.guilds))
        # Discord sends READY again whenever a session could not be resumed.
        if not self._announced:
            self._announced = True
            self._online()


class FourfoldTree(app_commands.CommandTree[FourfoldClient]):
    """For servers that added the bot and for direct messages with it; whatever fails is answered."""

    def __init__(self, client: FourfoldClient) -> None:
        super().__init__(
            client,
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=True, private_channel=False
            ),
        )

    async def on_error(
        self, interaction: discord.Interaction[FourfoldClient], error: app_commands.AppCommandError, /
    ) -> None:
        """Say what was wrong, to the asker alone."""
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            log.warning("interaction %s: %s", interaction.id, error)
            await tell_error(interaction, UserError("command_unknown"))
            return
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        await tell_error(interaction, cause)


def use_origin(origin: str, *, allow_remote: bool) -> None:
    """Make discord.py speak to another Discord-compatible origin, such as http://127.0.0.1:8080, in this process.

    Raises:
        StartupError: not an origin, or not loopback and not explicitly allowed: it would be given the token.
    """
    parts = urlsplit(origin.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise StartupError(
            f"FOURFOLD_DISCORD_API is {origin!r}; it must be an origin such as http://127.0.0.1:8080, without a path."
        )
    if not allow_remote and not _is_loopback(parts.hostname):
        raise StartupError(
            f"FOURFOLD_DISCORD_API is {origin!r}, which is not on this machine, and it would be given the bot's token."
            " Set FOURFOLD_DISCORD_API_ALLOW_REMOTE=true if that is what you want."
        )
    discord.http.Route.BASE = f"{origin.rstrip('/')}/api/v10"
    discord.asset.Asset.BASE = f"{origin.rstrip('/')}/cdn"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
