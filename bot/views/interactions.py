"""Who asks, and how to answer in time, also when something failed."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import aiohttp
import discord

from bot.domain import Asker, Upload
from bot.errors import UserError
from bot.services import Services
from bot.texts import say
from bot.views.job_text import error_text, shown

log = logging.getLogger(__name__)

T = TypeVar("T")
Interaction = discord.Interaction[Any]

LATE_AFTER = 1.0
"""Seconds a use case may take before the interaction is deferred; Discord gives up after three."""

UNREACHABLE = (discord.HTTPException, aiohttp.ClientError, OSError)
"""What a call to Discord may raise: it refused, or could not be reached."""


class ServingClient(Protocol):
    """The one thing views ask of the client they run in."""

    @property
    def services(self) -> Services: ...


def services_of(interaction: Interaction) -> Services:
    """The use cases, through the client that received the interaction."""
    return cast(ServingClient, interaction.client).services


def asker_of(interaction: Interaction) -> Asker:
    """The person behind the interaction; everything is read off its payload, so no cache is needed."""
    in_guild = interaction.guild_id is not None
    ours = interaction.app_permissions
    in_thread = isinstance(interaction.channel, discord.Thread)
    may_send = ours.send_messages_in_threads if in_thread else ours.send_messages
    return Asker(
        user_id=interaction.user.id,
        user_name=interaction.user.display_name,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        locale=locale_of(interaction),
        may_manage=in_guild and interaction.permissions.manage_messages,
        bot_may_post=not in_guild or (ours.view_channel and may_send and ours.attach_files),
    )


def upload_of(attachment: discord.Attachment) -> Upload:
    """What came with a command; nothing of it is fetched yet."""
    return Upload(
        url=attachment.url,
        name=attachment.filename,
        size=attachment.size,
        content_type=attachment.content_type,
    )


def locale_of(interaction: Interaction) -> str:
    """The language that the asker's Discord is set to; what only they see is written in it."""
    return str(interaction.locale)


async def in_time(
    interaction: Interaction, work: Awaitable[T], *, ephemeral: bool, thinking: bool = True
) -> T:
    """Await `work`; if it takes over a second, defer first so that the interaction stays alive."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=LATE_AFTER)
    if not done:
        try:
            await interaction.response.defer(ephemeral=ephemeral, thinking=thinking)
        except UNREACHABLE as error:
            log.info("interaction %s could not be deferred: %s", interaction.id, error)
    return await task


async def acknowledge(interaction: Interaction) -> None:
    """Answer a click without a visible answer. What was asked for is done, so a click that died costs nothing."""
    if not interaction.response.is_done():
        try:
            await interaction.response.defer()
        except UNREACHABLE as error:
            log.info("interaction %s could not be acknowledged: %s", interaction.id, error)


async def tell(interaction: Interaction, content: str, file: discord.File | None = None) -> None:
    """Say something that only the asker sees, whatever was answered before."""
    files = [file] if file else []
    if not interaction.response.is_done():
        await interaction.response.send_message(content, files=files, ephemeral=True, suppress_embeds=True)
        return
    if interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
        # A follow-up would take the place of "is thinking…" and be seen by everybody; so that goes first.
        await interaction.delete_original_response()
    await interaction.followup.send(content, files=files, ephemeral=True, suppress_embeds=True)


async def tell_error(
    interaction: Interaction, error: Exception, job_id: UUID | None = None, *, typed: str = ""
) -> None:
    """Answer the asker with what went wrong: no interaction ends in silence. Unexpected errors are logged.

    Args:
        typed: what the asker would otherwise have to type once more.
    """
    if isinstance(error, UserError):
        sentence = error_text(error, locale_of(interaction))
    else:
        log.error("interaction %s (job %s) failed", interaction.id, job_id, exc_info=error)
        sentence = say("message.unexpected", locale_of(interaction), reference=interaction.id)
    kept = None
    if typed:
        sentence = "\n".join([sentence, say("message.typed", locale_of(interaction), text=shown(typed, 300))])
        kept = discord.File(io.BytesIO(typed.encode()), "prompt.txt") if len(typed) > 300 else None
    try:
        await tell(interaction, sentence, kept)
    except UNREACHABLE as refusal:
        # Typically 10062: the interaction came too late, for example replayed after a lost connection.
        log.info("interaction %s could not be answered (%s): %s", interaction.id, refusal, sentence)
