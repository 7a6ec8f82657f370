"""One page of own pictures by what they look like, best first. Only the asker sees it."""

from __future__ import annotations

import io
from collections.abc import Awaitable
from uuid import UUID

import discord

from bot.errors import UserError
from bot.services import LooksPage, Match
from bot.services.look_service import PAGE
from bot.texts import say
from bot.views.history_page import LINE_CHARACTERS, LINE_ROOM, link_to
from bot.views.interactions import Interaction, in_time, locale_of, services_of, upload_of
from bot.views.job_text import shown, typed
from bot.views.panels import looks_buttons

MOST_CHARACTERS = 1000


async def open_looks(interaction: Interaction, words: str, example: discord.Attachment | None) -> None:
    """Answer a command with the pictures that look most like the words, the example, or both."""
    page = _sheet(interaction, _search(interaction, words, example))
    content, files, view = await in_time(interaction, page, ephemeral=True)
    if interaction.response.is_done():
        await interaction.edit_original_response(content=content, attachments=files, view=view)
    else:
        await interaction.response.send_message(
            content, files=files, view=view, ephemeral=True, suppress_embeds=True
        )


async def turn_looks_page(interaction: Interaction, search_id: UUID, cell: int) -> None:
    """A click: page `cell` of a search."""
    page = services_of(interaction).looks.page(interaction.user.id, search_id, cell)
    content, files, view = await in_time(
        interaction, _sheet(interaction, page), ephemeral=True, thinking=False
    )
    if interaction.response.is_done():
        await interaction.edit_original_response(content=content, attachments=files, view=view)
    else:
        await interaction.response.edit_message(content=content, attachments=files, view=view)


async def _search(interaction: Interaction, words: str, example: discord.Attachment | None) -> LooksPage:
    if len(words) > MOST_CHARACTERS:
        raise UserError("looks_like_too_long", got=len(words), maximum=MOST_CHARACTERS)
    return await services_of(interaction).looks.search(
        interaction.user.id, words=words, example=None if example is None else upload_of(example)
    )


async def _sheet(
    interaction: Interaction, asked: Awaitable[LooksPage]
) -> tuple[str, list[discord.File], discord.ui.View]:
    page, locale = await asked, locale_of(interaction)
    buttons = looks_buttons(page.search_id, locale, number=page.number, more=page.more)
    if not page.matches:
        return say("message.looks_end" if page.number else "message.looks_empty", locale), [], buttons
    sheet = await services_of(interaction).looks.thumbnails(page.matches)
    lines = [
        _line(interaction.client, number, match, locale)
        for number, match in enumerate(page.matches, page.number * PAGE + 1)
    ]
    return "\n".join(lines), [discord.File(io.BytesIO(sheet), "history.jpg")], buttons


def _line(client: discord.Client, number: int, match: Match, locale: str) -> str:
    job = match.job
    return say(
        "message.looks_line",
        locale,
        number=number,
        prompt=shown(typed(job), LINE_CHARACTERS, LINE_ROOM),
        cell=match.image.index + 1,
        when=discord.utils.format_dt(job.created_at, "R"),
        link=link_to(client, job) or say("message.history_unposted", locale),
        job_id=job.id,
    )
