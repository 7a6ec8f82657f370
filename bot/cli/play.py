"""`fourfold play`: the same bot, in a local stand-in for Discord that a browser shows."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path

from pydantic import SecretStr

from bot.app import LOCK_NAME, own_folder, serve
from bot.cli.engine_config import engine_config
from bot.cli.logs import configure_logging
from bot.cli.signals import until_stopped
from bot.errors import StartupError
from bot.playground import Playground, StoreError, reset
from bot.settings import Settings

HINT = """\
  Open it in a browser and type  /imagine prompt: a red sailboat on a calm sea at sunset, watercolor
  Ctrl-C stops it; pictures and buttons are still there next time.
"""


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until Ctrl-C. Its data live apart from the real bot's, in FOURFOLD_HOME/play."""
    settings = settings.model_copy(update={"home": settings.home / "play"})
    with own_folder(settings.home):
        try:
            if arguments.reset:
                _forget(settings.home)
            configure_logging(settings, terminal=False)
            asyncio.run(until_stopped(_play(settings, arguments.port)))
        except StoreError as error:
            raise StartupError(str(error)) from error
    return 0


async def _play(settings: Settings, port: int) -> None:
    async with Playground(home=settings.home, port=port) as playground:
        print("Starting Fourfold …", flush=True)

        def announce() -> None:
            """The address comes when the bot is there to answer."""
            print(f"\n  Fourfold is at  {playground.page_url}\n\n{HINT}", flush=True)

        local = {"discord_token": SecretStr(playground.bot_token), "discord_api": playground.origin}
        await serve(settings.model_copy(update=local), engine_config(settings), online=announce)


def _forget(home: Path) -> None:
    # Only the playground can tell whether another process has its state open.
    reset(home)
    for entry in home.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK_NAME:
            entry.unlink()
