"""What runs beside the engine's thread: whatever becomes of it, the queue hears of it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from engine import EngineConfig
from engine.executor import DirectExecutor, Fetched, Loaded, Prepared
from engine.worker.worker import Worker
from tests.engine.bench import make_request


class Quitting(Worker):
    """A library that it calls at one stage means to end the whole program."""

    stage = ""

    def _quit(self, stage: str) -> None:
        if self.stage == stage:
            raise SystemExit(3)

    def fetch(self, *args: Any) -> int:
        self._quit("fetch")
        return super().fetch(*args)

    def load(self, *args: Any) -> Any:
        self._quit("load")
        return super().load(*args)

    def prepare(self, request: Any) -> None:
        self._quit("prepare")
        super().prepare(request)


@pytest.mark.parametrize("stage", ["fetch", "load", "prepare"])
def test_a_library_that_quits_fails_what_it_was_called_for(tiny_model: Path, stage: str) -> None:
    worker = Quitting(EngineConfig(models=(str(tiny_model),), device="cpu"))
    worker.stage = stage
    executor = DirectExecutor(lambda: worker)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def until(kind: type) -> Any:
        while not isinstance(event := events.get(timeout=60), kind):
            pass
        return event

    executor.load(str(tiny_model), events.put)
    if stage != "fetch":
        until(Fetched)
        executor.place(str(tiny_model), events.put)
    ended = until(Loaded)
    if stage == "prepare":
        assert ended.error is None
        executor.prepare(make_request(tiny_model), events.put)
        ended = until(Prepared)
    assert ended.error is not None
    assert "SystemExit(3)" in str(ended.error)
    worker.stage = ""
    executor.load(str(tiny_model), events.put)
    assert until(Fetched).size > 0, "the next one is served"


class Endless(Worker):
    """A load that goes on for as long as it may."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.started = threading.Event()

    def fetch(self, *args: Any) -> int:
        with self._background.giving_way():
            self.started.set()
            while True:
                threading.get_ident()


def test_closing_ends_loads(tiny_model: Path) -> None:
    worker = Endless(EngineConfig(models=(str(tiny_model),), device="cpu"))
    executor = DirectExecutor(lambda: worker)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    executor.load(str(tiny_model), events.put)
    assert worker.started.wait(60)
    executor.close()
    assert not any(thread.is_alive() for thread in executor._threads)
    assert events.empty()


def test_closing_while_the_worker_is_made(tiny_model: Path) -> None:
    making, closed = threading.Event(), threading.Event()

    def make() -> Worker:
        making.set()
        assert closed.wait(60)
        return Worker(EngineConfig(models=(str(tiny_model),), device="cpu"))

    executor = DirectExecutor(make)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    executor.load(str(tiny_model), events.put)
    assert making.wait(60)
    closing = threading.Thread(target=executor.close)
    closing.start()
    while not executor._closed:
        pass
    closed.set()
    closing.join(60)
    assert not any(thread.is_alive() for thread in executor._threads)
    assert events.empty(), "nothing is fetched for nobody"


LEAVES_WHILE_LOADING = """
import asyncio, sys
from engine import EngineConfig
from engine.launch import launch_engine

async def main():
    async with launch_engine(EngineConfig(device="cpu")) as engine:
        while engine.stats().loading is None or engine.stats().loading.fraction == 0:
            await asyncio.sleep(0)

asyncio.run(main())
"""


def test_a_process_that_leaves_while_a_model_loads_ends_in_order() -> None:
    """The interpreter would otherwise end the loading thread inside of torch, which aborts the process."""
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES_WHILE_LOADING], capture_output=True, text=True, timeout=240, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
