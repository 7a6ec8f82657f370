"""Finding a job's own message again by its buttons, when its id was lost with the process that posted it."""

from __future__ import annotations

import logging
from uuid import UUID

import discord

from bot.views.button_id import is_button_of

log = logging.getLogger(__name__)

LOOK_BACK = 50
"""Messages of the channel that are searched, newest first."""


async def find_message(
    client: discord.Client, channel: discord.abc.Messageable, job_id: UUID, actions: frozenset[str]
) -> discord.Message | None:
    """The newest message of the bot's own with one of these buttons of this job; None when there is none.

    A history that may not be read counts as none, and is logged. Other errors of Discord or the network are raised.
    """
    try:
        async for message in channel.history(limit=LOOK_BACK):
            if client.user is not None and message.author.id != client.user.id:
                continue
            for row in message.components:
                for item in getattr(row, "children", ()):
                    if is_button_of(getattr(item, "custom_id", None), job_id, actions):
                        return message
    except (discord.Forbidden, discord.NotFound) as error:
        log.warning("job %s: the channel's history cannot be read: %s", job_id, error)
    return None
