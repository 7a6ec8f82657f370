"""Loading beside steps: the loading thread gives way to the engine's."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from engine.executor import EngineClosing

_TURN = 0.01
"""Seconds between two steps that a loading thread has to itself; a single call, such as the conversion of a large tensor,
is not cut off and goes on beside the next step.
"""
_PATIENCE = 0.2
"""Seconds of a step after which a loading thread has a turn beside it."""
_NICENESS = 19
"""Of loading threads and what they start: beside a step they only take what it leaves. `bench_loading`."""


class Background:
    """Keeps what runs beside the steps from holding them up.

    Python runs one thread at a time. A load is hundreds of thousands of small calls, and a step that computes in hundreds
    of operations would wait for the interpreter's lock up to 5 ms at every one of them. So a loading thread looks around
    whenever it calls a function, waits while a step runs, and has a short turn before the next one begins.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._steps = 0
        self._stepping = False
        self._waiting: set[int] = set()
        """Threads that wait for the end of a step."""
        self._computing: set[int] = set()
        """Those that have something to compute whenever they do not wait."""
        self._turns: set[int] = set()
        """Those that have not had their turn yet since the last step."""
        self._closed = False
        _freeze_once()

    def close(self) -> None:
        """End what gives way with EngineClosing, at its next call."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def step(self) -> Iterator[None]:
        """On the engine's thread: within, background work waits, once it has had its turn."""
        if not self._steps:
            compute_as_usual()
        with self._changed:
            self._changed.wait_for(lambda: not self._turns, _TURN)
            self._steps += 1
            self._stepping = True
        try:
            yield
        finally:
            with self._changed:
                self._stepping = False
                self._turns = self._waiting | self._computing
                self._changed.notify_all()

    @contextmanager
    def giving_way(self, *, downloads: bool = False) -> Iterator[None]:
        """On a thread of its own, which is to end afterwards: what runs within gives way to steps. The main thread, on which
        nobody loads while others step, is left as it is. `downloads`: it waits for a network most of the time, so that
        steps would leave it turns for nothing.
        """
        if threading.current_thread() is threading.main_thread():
            yield
            return
        _lower_priority()
        _compute_alone()
        me = threading.get_ident()
        turn_after, turn_ends = 0, 0.0

        def look(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal turn_after, turn_ends
            if self._closed and not imports(frame):
                raise EngineClosing
            if self._stepping:
                if self._steps == turn_after and time.thread_time() < turn_ends:
                    return
                turn_after = self._wait(me)
                turn_ends = time.thread_time() + _TURN
            elif me in self._turns:
                if self._steps != turn_after:
                    turn_after, turn_ends = self._steps, time.thread_time() + _TURN
                elif time.thread_time() >= turn_ends:
                    self._end_turn(me)

        with self._changed:
            if not downloads:
                self._computing.add(me)
        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(None)
            with self._changed:
                self._computing.discard(me)
            self._end_turn(me)

    def _wait(self, thread: int) -> int:
        """Until the step that runs is over, or for as long as patience lasts: the thread may hold a lock (of a log, an
        import, a cache) that the step is waiting for. Returns the step that it waited for.
        """
        with self._changed:
            step = self._steps
            self._waiting.add(thread)
            self._changed.wait_for(
                lambda: not self._stepping or self._steps != step or self._closed, _PATIENCE
            )
            self._waiting.discard(thread)
            return step

    def _end_turn(self, thread: int) -> None:
        with self._changed:
            self._turns.discard(thread)
            self._changed.notify_all()


def imports(frame: FrameType | None) -> bool:
    """Whether a frame is part of an import, which is not cut short: a library that was half imported cannot be imported
    again.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_frozen = threading.Lock()


def _freeze_once() -> None:
    """Leave the libraries' objects, which live as long as the process, out of garbage collections: going through them takes
    longer than many a step, and a load sets off several.
    """
    if _frozen.acquire(blocking=False):
        gc.collect()
        gc.freeze()


_numbers = threading.Lock()
"""Held while torch's number of threads, which new threads take over from the process, is not the usual one."""


def compute_as_usual() -> None:
    """Let this thread, before its first computation, take over the usual number of torch's threads."""
    with _numbers:
        torch.get_num_threads()


def _compute_alone() -> None:
    """Let this thread compute by itself: torch would otherwise start as many helpers for it as for the engine's thread, and
    on all cores both would wait for each other.
    """
    with _numbers, ThreadPoolExecutor(1) as another:
        torch.get_num_threads()  # Otherwise the process's number would be taken over at the first computation.
        usual = another.submit(torch.get_num_threads).result()
        torch.set_num_threads(1)
        # Said by another thread, the number is that of the threads to come, and this one keeps its own.
        another.submit(torch.set_num_threads, usual).result()


def _lower_priority() -> None:
    """Of this thread alone, where the system knows priorities of threads; those that it starts inherit it."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
