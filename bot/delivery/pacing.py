"""When a message may be edited next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CHANNEL_INTERVAL = 1.0
"""Seconds between two edits in one channel, whosever message it is: Discord allows five in five seconds."""
RUNNING_INTERVAL = 2.5
"""Seconds between two edits of one message while its job runs."""
WAITING_INTERVAL = 8.0
"""The same while it waits: places in a queue change slowly, and many messages may be waiting."""


@dataclass(frozen=True)
class Clock:
    """Time as delivery sees it; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    """Seconds since the epoch."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Pacer:
    """Hands out moments for edits, one after the other per channel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_free: dict[int, float] = {}

    async def turn(self, channel_id: int, not_before: float) -> None:
        """Wait for the channel's next free moment at or after `not_before` (monotonic seconds)."""
        # A moment is taken only when it is near: one taken far ahead would hold up everybody else in the channel.
        await self._until(not_before)
        now = self._clock.monotonic()
        moment = max(now, self._next_free.get(channel_id, now))
        self._next_free[channel_id] = moment + CHANNEL_INTERVAL
        await self._until(moment)

    async def _until(self, moment: float) -> None:
        wait = moment - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)

    def forget_idle(self) -> None:
        """Drop channels whose last moment has passed, so that the table holds only what is in use."""
        now = self._clock.monotonic()
        self._next_free = {channel: moment for channel, moment in self._next_free.items() if moment > now}
