"""`python -m bot.playground`: the stand-in alone, for working on its page or on another bot."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from bot.playground.playground import Playground, reset
from bot.playground.store import StoreError


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bot.playground", description=__doc__)
    parser.add_argument("--home", type=Path, help="folder that keeps the state (default: memory)")
    parser.add_argument("--port", type=int, default=8420, help="first port to try (default: 8420)")
    parser.add_argument("--reset", action="store_true", help="forget the kept state first")
    parser.add_argument(
        "--bot", type=Path, help="a script to start as the bot, given origin and token as arguments"
    )
    options = parser.parse_args()
    if not 0 <= options.port < 1 << 16:
        parser.error(f"--port must be between 0 and 65535, not {options.port}")
    if options.bot is not None and not options.bot.is_file():
        parser.error(f"--bot names {options.bot}, which is not a file")
    if options.reset and options.home is not None:
        reset(options.home)
    async with Playground(options.home, options.port) as playground:
        sys.stdout.write(
            f"page   {playground.page_url}\norigin {playground.origin}\ntoken  {playground.bot_token}\n"
        )
        sys.stdout.flush()
        if options.bot is None:
            await asyncio.Event().wait()
        bot = await asyncio.create_subprocess_exec(
            sys.executable, str(options.bot), playground.origin, playground.bot_token
        )
        try:
            await bot.wait()
        finally:
            if bot.returncode is None:
                bot.terminate()
                await bot.wait()


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(main())
    except (StoreError, OSError) as error:
        sys.exit(str(error))
