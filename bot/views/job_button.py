"""The one button of Fourfold. All it needs is in its id, so it works for ever, also after a restart."""

from __future__ import annotations

import re
from typing import Any, Self
from uuid import UUID

import discord

from bot.errors import UserError
from bot.views.button_id import TEMPLATE
from bot.views.clicks import CLICKS
from bot.views.interactions import Interaction, tell_error


class JobButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=TEMPLATE):
    """Answers a click on any button that panels.py ever put below a message."""

    def __init__(self, button: discord.ui.Button[Any], match: re.Match[str]) -> None:
        super().__init__(button)
        self._action = match["action"]
        self._job_id = UUID(hex=match["job"])
        self._cell = int(match["cell"])

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        assert isinstance(item, discord.ui.Button)
        return cls(item, match)

    async def callback(self, interaction: Interaction) -> None:
        """Do what the action says; whatever goes wrong is answered to the one who clicked."""
        try:
            if self._action not in CLICKS:
                raise UserError("button_unknown")
            await CLICKS[self._action](interaction, self._job_id, self._cell)
        except Exception as error:  # noqa: BLE001  # the last door: discord.py would log it and answer nothing
            await tell_error(interaction, error, self._job_id)
