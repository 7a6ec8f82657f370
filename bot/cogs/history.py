"""/history: one's own jobs, newest first or by what their pictures look like."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.texts import say
from bot.views.history_page import open_history
from bot.views.interactions import Interaction
from bot.views.looks_page import open_looks


@app_commands.command(name="history", description=say("help.history"))
@app_commands.describe(looks_like=say("help.history_looks_like"), example=say("help.history_example"))
async def history(
    interaction: Interaction, looks_like: str = "", example: discord.Attachment | None = None
) -> None:
    if looks_like.strip() or example is not None:
        await open_looks(interaction, looks_like.strip(), example)
    else:
        await open_history(interaction)
