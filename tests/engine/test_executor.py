"""What runs beside the engine's thread: whatever becomes of it, the queue hears of it."""

from __future__ import annotations

import queue
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
