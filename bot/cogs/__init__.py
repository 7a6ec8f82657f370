"""The slash commands, one file per family. A command is its options and one call.

imagine.py   /imagine
pictures.py  /describe, /blend and /variations: uploaded pictures
jobs.py      /show and /cancel: one job by its id
history.py   /history: own jobs, with pictures and links
about.py     /info and /help
"""

from __future__ import annotations

from typing import Any

from discord import app_commands

from bot.cogs.about import help_command, info
from bot.cogs.history import history
from bot.cogs.imagine import imagine
from bot.cogs.jobs import cancel, show
from bot.cogs.pictures import blend, describe, variations

COMMANDS: tuple[app_commands.Command[Any, ..., None], ...] = (
    imagine,
    describe,
    blend,
    variations,
    history,
    show,
    cancel,
    info,
    help_command,
)
"""Every command, in the order of /help."""

__all__ = ["COMMANDS"]
