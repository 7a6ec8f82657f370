"""`fourfold run`: the bot on Discord."""

from __future__ import annotations

import argparse
import asyncio

from bot.app import own_folder, serve
from bot.cli.engine_config import engine_config
from bot.cli.logs import configure_logging
from bot.cli.signals import until_stopped
from bot.errors import StartupError
from bot.settings import Settings


def main(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until Ctrl-C or SIGTERM; work that is under way is finished by the next start."""
    if settings.discord_token is None or not settings.discord_token.get_secret_value():
        raise StartupError(
            "DISCORD_TOKEN is not set. Put the bot's token into the environment or into .env (README, Run it on Discord),"
            " or try `fourfold play`, which needs none."
        )
    token = settings.discord_token.get_secret_value()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise StartupError(
            "DISCORD_TOKEN holds a space, a line break or a character that no token has. Copy it again from Discord's"
            " developer portal (page Bot, Reset Token)."
        )
    configure_logging(settings)
    with own_folder(settings.home):
        asyncio.run(until_stopped(serve(settings, engine_config(settings))))
    return 0
