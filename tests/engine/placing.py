"""An engine's core on a device whose models load when the test says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine import EngineConfig, GenerateRequest, RequestOutput
from engine.batch import PictureProgress, ScheduledBatch
from engine.core import EngineCore, Output
from engine.executor import Fetched, Loaded, StepOutput
from tests.engine.scheduling import model

SIZES = {"owner/a": 6, "owner/b": 6, "owner/c": 3, "owner/huge": 10}


class Device:
    """An executor whose models load when the test says so, and whose steps always succeed."""

    sizes: Mapping[str, int] = SIZES

    def __init__(self) -> None:
        self.resident: set[str] = set()
        self.orders: list[tuple[str, str]] = []
        self.under_way: list[Callable[[], None]] = []
        self.steps: Counter[tuple[str, int]] = Counter()
        self.missing: set[str] = set()
        self.needed = 0

    def load(self, name: str, report: Callable[[Any], None]) -> None:
        self.orders.append(("load", name))
        self.under_way.append(lambda: report(Fetched(name, self.sizes[name], 10)))

    def place(self, name: str, report: Callable[[Any], None]) -> None:
        self.orders.append(("place", name))

        def loaded() -> None:
            from engine.errors import ModelUnavailable

            if name in self.missing:
                report(Loaded(name, ModelUnavailable("model_unreadable", "The file is cut short.")))
                return
            self.resident.add(name)
            assert sum(self.sizes[each] for each in self.resident) <= 10, "the budget holds at all times"
            report(Loaded(name, None, model(name.split(" ")[0]), "toy"))

        self.under_way.append(loaded)

    def evict(self, name: str) -> None:
        self.orders.append(("evict", name))
        self.resident.remove(name)

    def prepare(self, *_: Any) -> None: ...

    def shrink(self, most_bytes: int) -> int:
        """The first request's files stay, whatever is asked for."""
        self.orders.append(("shrink", str(most_bytes)))
        return max(most_bytes, self.needed)

    def forget(self, request_id: str) -> None: ...

    def close(self) -> None: ...

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        assert batch.key.model in self.resident
        progress = []
        for picture in batch.pictures:
            key = (picture.request.request_id, picture.index)
            self.steps[key] += 1
            steps = picture.request.params.num_inference_steps
            next_key = None if self.steps[key] == steps else batch.key
            progress.append(PictureProgress(*key, self.steps[key], steps, next_key))
        return StepOutput(progress=tuple(progress))


class Rig:
    """A core, its clock and its device; a step takes a second, a load `load_seconds`."""

    kind_of_device: type[Device] = Device

    def __init__(self, load_seconds: int = 3, **changes: float) -> None:
        self.now = 0.0
        self.device = self.kind_of_device()
        models = {name: replace(model(name), name=name) for name in SIZES}
        self.outputs: list[Output] = []
        self.core = EngineCore(self.device, models, EngineConfig(), self.take, lambda: self.now)
        for name, value in changes.items():
            setattr(self.core.scheduler, name, value)
        self.load_seconds = load_seconds
        self.served: dict[str, float] = {}
        self.ended: dict[str, RequestOutput] = {}

    def take(self, event: Any) -> None:
        self.collect(self.core.on_load(event))

    def collect(self, outputs: list[Output]) -> None:
        self.outputs += outputs
        self.ended |= {id_: item for id_, item in outputs if isinstance(item, RequestOutput)}

    def add(self, *requests: GenerateRequest) -> None:
        for new in requests:
            self.collect(self.core.add(replace(new, submitted_at=self.now)))

    def tick(self) -> None:
        """A second: a step, and what has been loading for long enough arrives."""
        before = dict(self.device.steps)
        self.collect(self.core.step())
        for id_, index in self.device.steps:
            if self.device.steps[id_, index] != before.get((id_, index), 0):
                self.served.setdefault(id_, self.now)
        self.now += 1.0
        if self.load_seconds == 0 or self.now % self.load_seconds == 0:
            under_way, self.device.under_way = self.device.under_way, []
            for arrive in under_way:
                arrive()

    def run(self, ticks: int = 400) -> None:
        for _ in range(ticks):
            self.tick()

    def evictions(self) -> list[str]:
        return [name for what, name in self.device.orders if what == "evict"]
