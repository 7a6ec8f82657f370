"""What is watched beside a run: how late the event loop is, and how much memory the process takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from engine.benchmark.outcome import percentile

_TICK = 0.01
"""Seconds between two looks at the clock."""
_MEMORY_EVERY = 10
"""Ticks between two looks at the memory."""


class Watch:
    """`lag_p99` in seconds and `peak_bytes` of what happened inside `with watch():`."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self.peak_bytes = 0

    @property
    def lag_p99(self) -> float:
        return percentile(self._lags, 99)

    async def _look(self) -> None:
        process = psutil.Process()
        while True:
            for _ in range(_MEMORY_EVERY):
                due = time.perf_counter() + _TICK
                await asyncio.sleep(_TICK)
                self._lags.append(max(0.0, time.perf_counter() - due))
            taken = process.memory_info().rss
            if torch.cuda.is_available():
                taken = torch.cuda.max_memory_allocated()
            self.peak_bytes = max(self.peak_bytes, taken)


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch the running event loop until the block ends."""
    watch = Watch()
    looking = asyncio.create_task(watch._look(), name="watch")
    try:
        yield watch
    finally:
        looking.cancel()
