"""A local stand-in for Discord: REST v10, gateway and CDN over loopback, and the socket of the page that shows it.

playground.py      `Playground`, the front door: starts and stops everything, switches for tests;  services.py what it is made of
server.py          the one aiohttp application: Host check, faults, rate limits, errors, exchanges;  routes/ REST;  cdn.py files
gateway.py         the bot's WebSocket: identify, resume, shards, compression;  bot_events.py what it is told, by intents
state.py           everything that is remembered, over store.py (SQLite on a thread of its own, or memory)
messages.py        the life of a message, with attachments.py (files, signed URLs) and rendering.py (rows -> Discord objects)
interactions.py    commands, clicks and modals: acknowledgement, both clocks, follow-ups;  commands.py their definitions
limits.py          the one table of limits;  validation.py walks it;  message_rules.py, command_rules.py, modal_rules.py the rest
members.py         what a member can do: page_socket.py lets the page do it, user_session.py lets a test do it
page/              the page itself, served to whoever has its key by page_routes.py
permissions.py, rate_limits.py, faults.py, errors.py, events.py, components.py, clock.py, snowflakes.py, strict_json.py:
                   one idea each
"""

from __future__ import annotations

from bot.playground.clock import Clock, JumpingClock, SystemClock
from bot.playground.errors import DiscordError
from bot.playground.faults import Faults
from bot.playground.playground import Playground, reset
from bot.playground.server import Exchange
from bot.playground.store import StoreError
from bot.playground.user_session import Outcome, UserSession

__all__ = [
    "Clock",
    "DiscordError",
    "Exchange",
    "Faults",
    "JumpingClock",
    "Outcome",
    "Playground",
    "StoreError",
    "SystemClock",
    "UserSession",
    "reset",
]
