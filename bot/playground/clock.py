"""Time as the playground sees it: injectable, so that fifteen minutes take no time in a test."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Seconds since the Unix epoch, and callbacks at a later moment of the same clock."""

    def now(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the running event loop once `delay` seconds of this clock have passed."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, delay), callback)


class JumpingClock:
    """A clock for tests that can be moved forward; timers that became due fire during `advance`, in their order.

    It runs along with real time unless `frozen`, because a bot in another process lives in real time.
    """

    def __init__(self, *, frozen: bool = False) -> None:
        self._frozen_at = time.time() if frozen else None
        self._offset = 0.0
        self._timers: list[_JumpingTimer] = []
        self._order = itertools.count()

    def now(self) -> float:
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds
        while self._timers and self._timers[0].due <= self.now():
            heapq.heappop(self._timers).fire()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = _JumpingTimer(self.now() + delay, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        if self._frozen_at is None:
            timer.handle = asyncio.get_running_loop().call_later(max(0.0, delay), timer.fire)
        return timer


class _JumpingTimer:
    def __init__(self, due: float, order: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.handle: asyncio.TimerHandle | None = None
        self._order = order
        self._callback: Callable[[], None] | None = callback

    def __lt__(self, other: _JumpingTimer) -> bool:
        return (self.due, self._order) < (other.due, other._order)

    def fire(self) -> None:
        callback = self._callback
        self.cancel()
        if callback is not None:
            callback()

    def cancel(self) -> None:
        self._callback = None
        if self.handle is not None:
            self.handle.cancel()


class Timers:
    """The timers of one playground, so that stopping it stops them all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: set[Timer] = set()

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            callback()

        timer = self._clock.call_later(delay, fire)
        self._timers.add(timer)

    def cancel(self) -> None:
        while self._timers:
            self._timers.pop().cancel()


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as Discord writes them: ISO 8601 in UTC with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
