"""The real bot in a process of its own, on a real SQLite file, killed with -9 at a dozen points.

Whatever the point, the next start delivers every job exactly once, leaves no stale progress message, and old buttons answer.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.playground import Playground, UserSession
from tests.bot.dying_bot import ARMED, POINTS
from tests.engine.tiny import write_tiny_model

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
RESULT = re.compile(r"ff:[uvrs]:\d:([0-9a-f]{32})")
CANCEL = re.compile(r"ff:c:\d:([0-9a-f]{32})")

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


class Bot:
    """One process after another, on the same folder."""

    def __init__(self, playground: Playground, home: Path, model: Path) -> None:
        self._playground = playground
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FOURFOLD_")}
        self._environment = {
            **inherited,
            "FOURFOLD_HOME": str(home),
            "FOURFOLD_MODEL": str(model),
            "FOURFOLD_DISCORD_API": playground.origin,
            "DISCORD_TOKEN": playground.bot_token,
            "OMP_NUM_THREADS": "1",
        }

    @asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A bot that is online; killed at the end if it still runs."""
        before = self._playground.identifies
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bot.dying_bot",
            cwd=ROOT,
            env=self._environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(180):
                while not (self._playground.identifies > before and self._playground.bot_online):
                    assert process.returncode is None, "the bot ended before it was online"
                    await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.1)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def arm(self, point: str) -> None:
        (self.home / ARMED).write_text(point, encoding="utf-8")

    def disarm(self) -> None:
        (self.home / ARMED).unlink()

    def states(self) -> list[str]:
        """Every job's state, oldest first, as the file has it."""
        with sqlite3.connect(self.home / "fourfold.db") as connection:
            return [state for (state,) in connection.execute("SELECT state FROM jobs ORDER BY created_at")]

    async def all_ended(self) -> None:
        """Return once no job is under way."""
        async with asyncio.timeout(180):
            while not set(self.states()) <= {"done", "cancelled", "failed"}:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)


def ids(message: Json, pattern: re.Pattern[str]) -> set[str]:
    """The jobs whose buttons of this kind stand below a message."""
    rows = message.get("components") or []
    custom_ids = [button.get("custom_id", "") for row in rows for button in row.get("components", [])]
    return {found[1] for custom_id in custom_ids if (found := pattern.fullmatch(custom_id))}


def results(member: UserSession) -> list[str]:
    """The job of every result message in the channel."""
    return [job for message in member.messages() for job in ids(message, RESULT)]


async def act(member: UserSession, point: str, grid: Json | None) -> None:
    """Do what leads to the point; the bot dies on the way, so nothing is expected of the answer."""
    if "upscale" in point:
        assert grid is not None
        await member.click(grid, "U2")
    elif "variation" in point:
        assert grid is not None
        await member.click(grid, "V3")
    else:
        outcome = await member.slash("imagine", prompt=f"a red house, {point.replace(',', '')} --n 4")
        if "cancelled" in point and outcome.message_id:
            waiting = member.message(outcome.message_id)
            if waiting is not None and ids(waiting, CANCEL):
                await member.click(waiting, "Cancel")


async def test_every_job_is_delivered_once_whenever_the_bot_is_killed(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    async with Playground(home=None) as playground:
        bot = Bot(playground, tmp_path / "home", model)
        bot.home.mkdir()
        member = playground.user("Robin")
        grid: Json | None = None
        for point in POINTS:
            async with bot.process() as process:
                # What the last process left is delivered before anything new is asked.
                await bot.all_ended()
                grid = grid or next((message for message in member.messages() if ids(message, RESULT)), None)
                assert len(results(member)) == len(set(results(member)))
                bot.arm(point)
                await act(member, point, grid)
                async with asyncio.timeout(180):
                    assert await process.wait() == -signal.SIGKILL, point
            bot.disarm()
        async with bot.process():
            await bot.all_ended()
            delivered = results(member)
            states = bot.states()
            assert len(states) == len(POINTS)
            assert states.count("cancelled") == 1
            assert states.count("done") == len(POINTS) - 1
            assert len(delivered) == len(set(delivered)) == states.count("done")
            assert not [message for message in member.messages() if ids(message, CANCEL)], (
                "a stale progress message"
            )
            assert grid is not None
            before = len(delivered)
            for button in ("U1", "🔄"):
                await member.click(grid, button)
            await member.wait_for(lambda _message: len(results(member)) == before + 2, seconds=180)
