"""One page of /history: a contact sheet, a line per job, and buttons to turn pages. Only the asker sees it."""

from __future__ import annotations

import io
from uuid import UUID

import discord

from bot.domain import Job
from bot.services import HistoryPage
from bot.texts import say
from bot.views.interactions import Interaction, in_time, locale_of, services_of
from bot.views.job_text import named, shown
from bot.views.panels import history_buttons

LINE_CHARACTERS = 90
LINE_ROOM = 120
"""Characters of a line's prompt once it is escaped: six lines with links and ids fit one message."""


async def open_history(interaction: Interaction) -> None:
    """Answer a command with the newest page."""
    content, file, view = await in_time(interaction, _page(interaction, None), ephemeral=True)
    if interaction.response.is_done():
        await interaction.edit_original_response(
            content=content, attachments=[file] if file else [], view=view
        )
    elif file is not None and view is not None:
        await interaction.response.send_message(
            content, file=file, view=view, ephemeral=True, suppress_embeds=True
        )
    else:
        await interaction.response.send_message(content, ephemeral=True)


async def turn_history_page(interaction: Interaction, job_id: UUID, cell: int) -> None:
    """A click: cell 0 shows what is older than `job_id`, cell 1 the newest page."""
    before = job_id if cell == 0 else None
    content, file, view = await in_time(
        interaction, _page(interaction, before), ephemeral=True, thinking=False
    )
    attachments = [file] if file else []
    if interaction.response.is_done():
        await interaction.edit_original_response(content=content, attachments=attachments, view=view)
    else:
        await interaction.response.edit_message(content=content, attachments=attachments, view=view)


async def _page(
    interaction: Interaction, before: UUID | None
) -> tuple[str, discord.File | None, discord.ui.View | None]:
    history, locale = services_of(interaction).history, locale_of(interaction)
    page: HistoryPage = await history.page(interaction.user.id, before=before)
    if not page.jobs:
        if before is None:
            return say("message.history_empty", locale), None, None
        return (
            say("message.history_end", locale),
            None,
            history_buttons(before, locale, first=False, more=False),
        )
    sheet = await history.thumbnails(page.jobs)
    file = discord.File(io.BytesIO(sheet), "history.jpg")
    lines = [_line(interaction.client, number, job, locale) for number, job in enumerate(page.jobs, 1)]
    buttons = history_buttons(page.jobs[-1].id, locale, first=before is None, more=page.more)
    return "\n".join(lines), file, buttons


def _line(client: discord.Client, number: int, job: Job, locale: str) -> str:
    return say(
        "message.history_line",
        locale,
        number=number,
        prompt=shown(named(job, locale), LINE_CHARACTERS, LINE_ROOM),
        when=discord.utils.format_dt(job.created_at, "R"),
        link=link_to(client, job) or say("message.history_unposted", locale),
        job_id=job.id,
    )


def link_to(client: discord.Client, job: Job) -> str | None:
    """Where the result is; a job asked for in a server may have been delivered by direct message."""
    channel_id, message_id = job.result_channel_id, job.result_message_id
    if channel_id is None or message_id is None:
        return None
    guild = getattr(client.get_channel(channel_id), "guild", None)
    guild_id = guild.id if guild else job.guild_id if channel_id == job.destination.channel_id else None
    return f"https://discord.com/channels/{guild_id or '@me'}/{channel_id}/{message_id}"
