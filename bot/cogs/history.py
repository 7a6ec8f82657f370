"""/history: one's own jobs."""

from __future__ import annotations

from discord import app_commands

from bot.texts import say
from bot.views.history_page import open_history
from bot.views.interactions import Interaction


@app_commands.command(name="history", description=say("help.history"))
async def history(interaction: Interaction) -> None:
    await open_history(interaction)
