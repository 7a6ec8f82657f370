"""What the executor calls: the device plane's face."""

from __future__ import annotations

from collections.abc import Callable

from engine.batch import ScheduledBatch
from engine.catalog import ModelInfo
from engine.config import EngineConfig
from engine.executor import StepOutput
from engine.output import Loading
from engine.request import Request
from engine.worker.background import Background
from engine.worker.default_dtype import default_dtype_kept
from engine.worker.device import device_name
from engine.worker.model_runner import ModelRunner
from engine.worker.residency import Residency


class Worker:
    """Implements engine.executor.WorkerInterface on this machine's torch."""

    def __init__(self, config: EngineConfig) -> None:
        self._residency = Residency(config)
        self._background = Background()
        self._runner = ModelRunner(self._residency)

    @property
    def device(self) -> str:
        return device_name(self._residency.device)

    @property
    def memory_budget(self) -> int:
        return self._residency.budget

    @property
    def named_bytes(self) -> int:
        return self._runner.named_bytes

    def fetch(self, model: str, report: Callable[[Loading], None]) -> int:
        with self._background.giving_way(downloads=True), self._residency.explaining(model):
            return self._residency.fetch(model, report)

    def load(self, model: str, report: Callable[[Loading], None]) -> ModelInfo:
        # Outermost, because nothing is ended any more once the thread has stopped giving way.
        with default_dtype_kept(), self._background.giving_way(), self._residency.explaining(model):
            return self._residency.load(model, report)

    def prepare(self, request: Request) -> None:
        with self._background.giving_way():
            self._runner.prepare(request)

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        with self._background.step():
            return self._runner.execute(batch, previews)

    def evict(self, model: str) -> None:
        self._runner.evict(model)

    def shrink(self, most_bytes: int) -> int:
        return self._runner.shrink(most_bytes)

    def forget(self, request_id: str) -> None:
        self._runner.forget(request_id)

    def close(self) -> None:
        self._background.close()
        self._residency.close()
