"""Who steps next, by three policies that the simulation compares. Ours is the engine's own Scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine.batch import PictureProgress, Size
from engine.benchmark.mix import VARIATION_STRENGTH, BenchJob, Kind
from engine.catalog import read_model
from engine.config import EngineConfig
from engine.request import GenerateRequest, SamplingParams
from engine.scheduler import Scheduler
from engine.step_cost import StepCost

STEPS = 30
"""Of a picture; variations run VARIATION_STRENGTH of them."""
ROWS = 2
"""Of a picture: with guidance."""
SIDE = 512
"""Of a picture, in pixels."""
NAIVE_ROWS = 32
"""What naive continuous batching admits."""


def steps_of(job: BenchJob) -> int:
    """Denoising steps of each of a job's pictures."""
    return round(STEPS * VARIATION_STRENGTH) if job.kind is Kind.VARIATIONS else STEPS


@dataclass(frozen=True)
class Step:
    """What one step of the device does: its rows, whose pictures it steps, and whose job it ends."""

    rows: int
    stepped: Sequence[int]
    finished: Sequence[int]


class Policy(Protocol):
    """Decides on the device's steps. Jobs are named by their number."""

    def add(self, job: BenchJob) -> None: ...

    def step(self, now: float) -> Step | None:
        """Choose a step and take it as done; None when nothing waits."""
        ...

    def observe(self, rows: int, seconds: float) -> None:
        """Take in how long the step took."""
        ...


@dataclass
class Continuous:
    """Whole jobs in the order of their arrival, admitted while all their rows fit into `rows`, stepped together.

    With `rows` 0 it is FIFO: one job at a time, all its pictures in one batch.
    """

    rows: int = NAIVE_ROWS
    _queue: list[BenchJob] = field(default_factory=list)
    _running: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Job → steps left, rows."""

    def add(self, job: BenchJob) -> None:
        self._queue.append(job)

    def step(self, now: float) -> Step | None:
        while self._queue:
            rows = ROWS * len(self._queue[0].seeds)
            if self._running and sum(taken for _, taken in self._running.values()) + rows > self.rows:
                break
            job = self._queue.pop(0)
            self._running[job.number] = (steps_of(job), rows)
        if not self._running:
            return None
        stepped = list(self._running)
        rows = sum(taken for _, taken in self._running.values())
        self._running = {number: (left - 1, taken) for number, (left, taken) in self._running.items()}
        finished = [number for number, (left, _) in self._running.items() if not left]
        for number in finished:
            del self._running[number]
        return Step(rows, stepped, finished)

    def observe(self, rows: int, seconds: float) -> None:
        """It never looks at the device."""


class Ours:
    """The engine's Scheduler, on the simulation's clock, with the knee as its row budget; it measures its steps' cost."""

    def __init__(self, knee: int) -> None:
        self._now = 0.0
        # What the catalogue assumes of a model that is not downloaded: only its family matters here.
        self._model = read_model("simulated/model", EngineConfig(cache_dir=Path("nowhere")))
        self._scheduler = Scheduler(knee, lambda: self._now, {self._model.name})
        self._done: dict[tuple[str, int], int] = {}
        self._steps: dict[str, int] = {}
        self._cost = StepCost()
        self._size: Size | None = None

    def add(self, job: BenchJob) -> None:
        """The job enters as the request that the bot would make of it."""
        steps = self._steps[str(job.number)] = steps_of(job)
        params = SamplingParams(
            num_inference_steps=steps, guidance_scale=7.0, sampler="euler", width=SIDE, height=SIDE
        )
        request = GenerateRequest(
            request_id=str(job.number),
            model=self._model.name,
            prompt=job.prompt,
            params=params,
            seeds=job.seeds,
            share_key=str(job.user),
            submitted_at=job.arrival,
        )
        self._scheduler.add(request, self._model)

    def step(self, now: float) -> Step | None:
        self._now = now
        batch = self._scheduler.schedule()
        if batch is None:
            return None
        self._size = batch.key.size
        progress = []
        for picture in batch.pictures:
            key = (picture.request.request_id, picture.index)
            steps = self._steps[picture.request.request_id]
            step = self._done[key] = self._done.get(key, 0) + 1
            progress.append(PictureProgress(*key, step, steps, batch.key if step < steps else None))
        finished = [int(request_id) for request_id in self._scheduler.update(progress)]
        stepped = dict.fromkeys(int(picture.request.request_id) for picture in batch.pictures)
        return Step(batch.rows, list(stepped), finished)

    def observe(self, rows: int, seconds: float) -> None:
        """As the core does after every step."""
        self._cost.observe(rows, seconds)
        assert self._size is not None, "a step comes first"
        self._scheduler.overheads[self._size] = self._cost.overhead
