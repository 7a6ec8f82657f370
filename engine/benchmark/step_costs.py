"""What a tick costs beside the model's forward passes, and what company gains, driven on the caller's thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.batch import ScheduledBatch
from engine.catalog import ModelInfo
from engine.config import EngineConfig
from engine.core import EngineCore
from engine.executor import Fetched, Loaded, Prepared, StepOutput
from engine.output import Loading
from engine.request import GenerateRequest, Request, SamplingParams
from engine.worker.vector_samplers import VECTOR_FORMS
from engine.worker.worker import Worker


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """Times in milliseconds, medians over the ticks of one run."""

    rows: int
    """Rows of a tick; two per picture with guidance."""
    host_ms: float
    """A tick less its forward pass: scheduling, batching, samplers, updates."""
    forward_ms: float
    rows_per_second: float


def measure(
    config: EngineConfig, *, steps: int = 20, pictures: tuple[int, ...] = (1, 4, 8)
) -> list[StepCosts]:
    """Step the first configured model with so many guided pictures of so many requests at a time.

    One picture is the engine alone; more are single pictures of different requests, with every sampler in turn.
    """
    # What is timed apart is the module itself; what compiling makes of it changes nothing about the rest of a tick.
    config = replace(config, compile=False)
    worker = Worker(config)
    info = worker.load(config.models[0], lambda _: None)
    stage: Any = worker._residency.family(info.name).stages[0]
    forwards: list[float] = []
    stage._unet = _Timed(stage._unet, forwards.append)
    _run(worker, info, config, 1, 3, forwards)  # The first forward passes of a process pay for warm-up.
    return [_run(worker, info, config, count, steps, forwards) for count in pictures]


def _run(
    worker: Worker, info: ModelInfo, config: EngineConfig, pictures: int, steps: int, forwards: list[float]
) -> StepCosts:
    executor = _Inline(worker)
    core = EngineCore(executor, {info.name: info}, config, lambda _: None)
    core.scheduler.ready.add(info.name)
    core.scheduler.row_budget = 2 * pictures
    # Samplers that step through a diffusers scheduler per picture say more of diffusers than of the engine.
    samplers = [name for name in info.samplers if name in VECTOR_FORMS]
    for index in range(pictures):
        params = SamplingParams(
            num_inference_steps=steps,
            guidance_scale=max(1.5, info.default_guidance_scale),
            sampler=samplers[index % len(samplers)],
            width=info.native_width,
            height=info.native_height,
        )
        core.add(
            GenerateRequest(
                request_id=str(index), model=info.name, prompt="a lighthouse", params=params, seeds=(index,)
            )
        )
    ticks: list[float] = []
    forwards.clear()
    while core.has_work:
        started = time.perf_counter()
        core.step()
        ticks.append(time.perf_counter() - started)
    # The first tick encodes prompts and the last decodes pictures: neither is a tick of the loop.
    hosts = [tick - forward for tick, forward in zip(ticks, forwards, strict=True)][1:-1]
    forward = statistics.median(forwards[1:-1])
    host = statistics.median(hosts)
    return StepCosts(
        rows=2 * pictures,
        host_ms=1000 * host,
        forward_ms=1000 * forward,
        rows_per_second=2 * pictures / (host + forward),
    )


class _Timed:
    """A module that reports the seconds of every call."""

    def __init__(self, module: Any, report: Callable[[float], None]) -> None:
        self._module = module
        self._report = report

    def __call__(self, *args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        result = self._module(*args, **options)
        if result[0].is_cuda:
            # Kernels run on after the call returns; their time belongs to the forward pass.
            result[0].cpu()
        self._report(time.perf_counter() - started)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Inline:
    """An executor around a worker whose model is loaded already."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def load(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        raise AssertionError("the model is loaded before the core is made")

    def place(self, model: str, report: Callable[[Loading | Fetched | Loaded], None]) -> None:
        raise AssertionError("the model is loaded before the core is made")

    def evict(self, model: str) -> None:
        raise AssertionError("no other model needs room")

    def shrink(self, most_bytes: int) -> int:
        return self._worker.shrink(most_bytes)

    def prepare(self, request: Request, report: Callable[[Prepared], None]) -> None:
        self._worker.prepare(request)
        report(Prepared(request))

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        return self._worker.execute(batch, frozenset())

    def forget(self, request_id: str) -> None:
        self._worker.forget(request_id)

    def close(self) -> None:
        """The worker goes on to the next measurement."""
