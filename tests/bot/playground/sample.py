"""Runs sample_bot.py as the process it would be in real life."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.playground import Playground
from bot.playground.events import CommandsChanged, Event, PresenceChanged

SCRIPT = Path(__file__).with_name("sample_bot.py")


@asynccontextmanager
async def sample_bot(
    playground: Playground, *, kill: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Started, its commands synced and its gateway connected; stopped politely at the end, or killed."""
    ready = asyncio.Event()
    progress: set[str] = set()

    def notice(event: Event) -> None:
        progress.update({"synced"} if isinstance(event, CommandsChanged) else ())
        progress.update({"online"} if event == PresenceChanged(True) else ())
        if progress == {"synced", "online"}:
            ready.set()

    stop = playground._services.events.subscribe(notice)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), playground.origin, playground.bot_token
    )
    try:
        await asyncio.wait_for(ready.wait(), 30)
        yield process
    finally:
        stop()
        if process.returncode is None:
            process.kill() if kill else process.terminate()
        await process.wait()
