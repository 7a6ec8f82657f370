"""Who asks, from where, and what may be done there; read off an interaction by the edge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Asker:
    """The person behind a command or click; ids are Discord snowflakes."""

    user_id: int
    user_name: str
    """The display name, for lists and PNG metadata; never used to identify."""
    guild_id: int | None
    """None in direct messages."""
    channel_id: int
    locale: str = "en"
    """The language that the asker's Discord is set to: `en-GB`, `de`."""
    may_manage: bool = False
    """The asker has Manage Messages here."""
    bot_may_post: bool = True
    """The bot may view this channel, send and attach files in it; checked before any work is accepted."""
