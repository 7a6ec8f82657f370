"""How long the device takes for each step, without making it wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.batch import BatchKey
from engine.executor import StepTiming


class StepTimer:
    """Times steps by the clock on a CPU, and by events of the device's own elsewhere.

    A GPU runs behind the commands it is given. Asking it how long a step took before it is through would hold the
    engine up, so that a step is reported once it is done, with a later one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._running: deque[tuple[BatchKey, int, int, torch.Event, torch.Event]] = deque()
        self._finished: list[StepTiming] = []

    @contextmanager
    def step(self, key: BatchKey, rows: int, widest: int) -> Iterator[None]:
        """Time what is asked of the device inside of it."""
        if self._device.type == "cpu":
            started = time.perf_counter()
            yield
            self._finished.append(StepTiming(key, rows, widest, time.perf_counter() - started))
            return
        begin, end = (torch.Event(self._device, enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        self._running.append((key, rows, widest, begin, end))

    def finished(self) -> tuple[StepTiming, ...]:
        """The steps that have been finished since this was last asked."""
        while self._running and self._running[0][4].query():
            key, rows, widest, begin, end = self._running.popleft()
            self._finished.append(StepTiming(key, rows, widest, begin.elapsed_time(end) / 1000))
        finished, self._finished = tuple(self._finished), []
        return finished
