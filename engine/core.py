"""The engine's loop, free of threads and asyncio: schedule → execute → update."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.batch import BatchKey, ScheduledBatch, Size
from engine.catalog import ModelInfo, unknown_words
from engine.config import EngineConfig
from engine.errors import EngineError, GenerationFailed
from engine.executor import Executor, Fetched, Loaded, Prepared, StepOutput
from engine.forecast import Forecast
from engine.output import (
    EngineStats,
    FinishReason,
    Loading,
    Progress,
    Queued,
    RequestOutput,
    Update,
)
from engine.paces import Paces
from engine.passes import passes
from engine.placement import Placement, Told
from engine.request import GenerateRequest, Request
from engine.row_budget import MAX_ROWS, RowBudget
from engine.scheduler import Scheduler
from engine.step_cost import StepCost
from engine.validation import rounded, roundings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Output = tuple[str, Update | RequestOutput]
"""A request id and what its stream shall yield next."""

FIRST_ROW_BUDGET = 8
"""A guided grid of four, before steps of its model and size have been timed."""


@dataclass
class _Running:
    """What the core knows of a request between its arrival and its RequestOutput."""

    request: Request
    steps: dict[int, int]
    """Of each picture; `steps_done` likewise."""
    rounded_to: tuple[int, int] | None
    hires_rounded_to: tuple[int, int] | None
    """Width and height, where others were asked for."""
    steps_done: dict[int, int] = field(default_factory=dict)
    previews: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)
    preview_due: float = 0.0
    """When the next preview is; the first one comes with the first step, so that a quick job is seen to begin."""
    device_seconds: float = 0.0
    unread_words: tuple[str, ...] = ()
    shown: Queued | None = None


class EngineCore:
    """Owns the scheduler and drives the executor. All methods run on one thread, the engine's."""

    def __init__(
        self,
        executor: Executor,
        models: dict[str, ModelInfo],
        config: EngineConfig,
        report: Callable[[Loading | Fetched | Loaded | Prepared], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`models` is kept up to date: a model that was downloaded replaces what was assumed of it.

        `report` is handed to the executor's other threads; it must bring its argument back to `on_load` or `on_prepared`.
        """
        self.scheduler = Scheduler(max(2, config.row_budget or FIRST_ROW_BUDGET), clock)
        self._row_budgets: dict[Size, RowBudget] = {}
        self._step_costs: dict[Size, StepCost] = {}
        self._forecast = Forecast(self.scheduler)
        self._paces = Paces()
        self._executor = executor
        self._models = models
        self._config = config
        self._report = report
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._placement = Placement(self.scheduler, self._paces, executor, models, report, clock)
        self._seconds_per_row_step: float | None = None
        self._device = ""
        self._places_seen = -1
        self._places_at = 0.0
        self._places_cost = 0.0

    def load(self, model: str) -> None:
        """Start loading a model, unless it is loaded or on its way."""
        self._placement.load(model)

    def add(self, request: Request) -> list[Output]:
        """Queue a request; its model starts loading when nobody asked for it before."""
        if request.submitted_at is None:
            request = replace(request, submitted_at=self._clock())
        model = self._models[request.model]
        asked, request = request, rounded(request, model)
        steps = sum(each.steps for each in passes(request, model))
        self._running[request.request_id] = _Running(
            request, dict.fromkeys(range(request.count), steps), *roundings(asked, request)
        )
        self.scheduler.add(request, model)
        self.load(request.model)
        loading = self._placement.loading.get(request.model)
        return [] if loading is None else [(request.request_id, loading)]

    def abort(self, request_id: str) -> list[Output]:
        """End a request at once; the next step does not hold it."""
        if request_id not in self._running:
            return []
        self.scheduler.abort(request_id)
        self._executor.forget(request_id)
        return [self._end(request_id, FinishReason.ABORTED)]

    def on_load(self, event: Loading | Fetched | Loaded) -> list[Output]:
        """Take in what a loading thread reported."""
        if isinstance(event, Loading):
            return self._tell(self._placement.on_progress(event))
        if isinstance(event, Fetched):
            self._placement.on_fetched(event)
            return []
        self._placement.on_loaded(event)
        self._places_seen = -1
        if event.error is None:
            if event.info is not None and event.model in self._models:
                self._models[event.model] = event.info
            self._device = event.device
            return []
        # A later request for the same model tries again: the network or the disk may be back by then.
        failure = _as_failure(event.error)
        return [self._fail(request_id, failure) for request_id in self.scheduler.waits_for(event.model)]

    def on_prepared(self, event: Prepared) -> list[Output]:
        """Take in that what a request names has been read, or could not be."""
        request_id, model = event.request.request_id, event.request.model
        self._placement.on_named(event.named_bytes)
        running = self._running.get(request_id)
        if running is None:
            # It was aborted meanwhile, and what was read for it came after.
            self._executor.forget(request_id)
            return []
        if replace(running.request, model=model) != event.request:
            return []  # A namesake of one that was aborted; its own is on its way.
        if event.error is not None:
            return [self._fail(request_id, event.error)]
        self.scheduler.release(request_id, model)
        return []

    def step(self) -> list[Output]:
        """Schedule, execute, update; then make room for models that wait for it."""
        batch = self.scheduler.schedule()
        if batch is None:
            return self._tell(self._placement.make_room())
        started = time.perf_counter()
        self._placement.residents.use(batch.key.model)
        output = self._executor.execute(batch, self._previews_due(batch))
        updates = self._update(batch, output, time.perf_counter() - started)
        return [*updates, *self._tell(self._placement.make_room())]

    def queue_updates(self) -> list[Output]:
        """Queued for every waiting request whose place changed, or whose ETA changed by more than a fifth.

        Looked at when the queue changed, and every other second for ETAs: a long queue must not slow every step down.
        """
        now = self._clock()
        since = now - self._places_at
        # Places of ten thousand requests take tens of milliseconds: they may take a fiftieth of the time.
        if since < 50 * self._places_cost and self._places_cost > 0.005:
            return []
        if self.scheduler.changes == self._places_seen and since < 2.0:
            return []
        self._places_seen, self._places_at = self.scheduler.changes, now
        outputs: list[Output] = []
        started = time.perf_counter()
        loading = self._placement.loading
        loads = {model: left for model in loading if (left := self._paces.load_left(model, now)) is not None}
        places = self._forecast.places(self._paces.seconds if self._paces.known else None, loads)
        self._places_cost = time.perf_counter() - started
        for request_id, (position, eta) in places.items():
            running = self._running[request_id]
            if running.request.model in loading:
                continue  # Its stream shows Loading, which says more.
            shown = running.shown
            if shown is not None and shown.position == position and _about_equal(shown.eta, eta):
                continue
            running.shown = Queued(position, eta)
            outputs.append((request_id, running.shown))
        return outputs

    @property
    def has_work(self) -> bool:
        """Whether a step would run anything."""
        return self.scheduler.has_work

    @property
    def request_ids(self) -> list[str]:
        """Of every request that has not ended."""
        return list(self._running)

    def stats(self) -> EngineStats:
        """A snapshot of queue and device."""
        waiting = self.scheduler.waiting
        return EngineStats(
            waiting=waiting,
            running=len(self.scheduler) - waiting,
            seconds_per_row_step=self._seconds_per_row_step,
            resident_models=tuple(sorted(self.scheduler.ready)),
            loading=next(iter(self._placement.loading.values()), None),
            device=self._device,
        )

    def close(self) -> list[Output]:
        """End every request as aborted and free the device."""
        outputs = [self._end(request_id, FinishReason.ABORTED) for request_id in self.request_ids]
        self._executor.close()
        return outputs

    def _previews_due(self, batch: ScheduledBatch) -> frozenset[str]:
        now, interval = self._clock(), self._config.preview_interval
        due = set()
        for picture in batch.pictures:
            running = self._running[picture.request.request_id]
            if now >= running.preview_due:
                due.add(picture.request.request_id)
        for request_id in due:
            self._running[request_id].preview_due = now + interval
        return frozenset(due)

    def _update(self, batch: ScheduledBatch, output: StepOutput, seconds: float) -> list[Output]:
        for model in output.evicted:
            self._placement.left(model)
        for request_id in output.unprepared:
            self.scheduler.hold_back(request_id, batch.key.model)
            request = replace(self._running[request_id].request, model=batch.key.model)
            self._executor.prepare(request, self._report)
        pictures = [p for p in batch.pictures if p.request.request_id not in output.unprepared]
        if not pictures:
            return []
        rows = sum(picture.rows for picture in pictures)
        self._paces.observe(batch.key.size, rows, seconds)
        per_row = seconds / rows
        known = self._seconds_per_row_step
        self._seconds_per_row_step = per_row if known is None else 0.8 * known + 0.2 * per_row
        self._measure_rows(batch, output)
        for picture in pictures:
            self._running[picture.request.request_id].device_seconds += per_row * picture.rows
        for request_id, words in output.unread_words.items():
            self._running[request_id].unread_words = words
        for (request_id, index), preview in output.previews.items():
            self._running[request_id].previews[index] = preview
        for report in output.progress:
            running = self._running[report.request_id]
            running.steps[report.index] = report.steps
            running.steps_done[report.index] = report.step

        outputs: list[Output] = []
        stepped = dict.fromkeys(report.request_id for report in output.progress)
        with_previews = {request_id for request_id, _ in output.previews}
        for request_id in stepped:
            progress = self._progress(request_id, with_previews=request_id in with_previews)
            outputs.append((request_id, progress))
        outputs += output.finished
        outputs += [
            self._end(request_id, FinishReason.COMPLETED)
            for request_id in self.scheduler.update(output.progress)
        ]
        for request_id, error in output.failures.items():
            outputs.append(self._fail(request_id, error))
        for model in {report.next_key.model for report in output.progress if report.next_key is not None}:
            self._placement.load(model)
        return outputs

    def _measure_rows(self, batch: ScheduledBatch, output: StepOutput) -> None:
        """Let what the step took, and what did not fit, decide how many rows the next ones hold."""
        for timing in output.timings:
            self._row_budget(timing.key).observe(timing.rows, timing.seconds, timing.widest)
            size = timing.key.size
            cost = self._step_costs.setdefault(size, StepCost())
            cost.observe(timing.rows, timing.seconds)
            self.scheduler.overheads[size] = cost.overhead
        if output.row_budget is not None:
            self._row_budget(batch.key).out_of_memory(output.row_budget)
        for size, budget in self._row_budgets.items():
            self.scheduler.row_budgets[size] = budget.rows

    def _row_budget(self, key: BatchKey) -> RowBudget:
        size = key.size
        if size not in self._row_budgets:
            first = self.scheduler.row_budget
            self._row_budgets[size] = RowBudget(first, most=first if self._config.row_budget else MAX_ROWS)
        return self._row_budgets[size]

    def _tell(self, loading: Told) -> list[Output]:
        """What requests are told of a model that is on its way; then their place is news again."""
        for request_id, _ in loading:
            self._running[request_id].shown = None
        return [*loading]

    def _progress(self, request_id: str, *, with_previews: bool) -> Progress:
        running = self._running[request_id]
        previews = tuple(map(running.previews.get, range(running.request.count))) if with_previews else ()
        return Progress(sum(running.steps_done.values()), sum(running.steps.values()), previews)

    def _fail(self, request_id: str, error: GenerationFailed) -> Output:
        self.scheduler.abort(request_id)
        self._executor.forget(request_id)
        return self._end(request_id, FinishReason.FAILED, error)

    def _end(self, request_id: str, reason: FinishReason, error: GenerationFailed | None = None) -> Output:
        running = self._running.pop(request_id)
        vocabulary = self._models[running.request.model].vocabulary
        request = running.request
        unknown = unknown_words(request.prompt, vocabulary) if isinstance(request, GenerateRequest) else ()
        return request_id, RequestOutput(
            request_id=request_id,
            finish_reason=reason,
            error=error,
            device_seconds=running.device_seconds,
            unread_words=running.unread_words,
            unknown_words=unknown,
            rounded_to=running.rounded_to,
            hires_rounded_to=running.hires_rounded_to,
        )


def _about_equal(shown: float | None, now: float | None) -> bool:
    if shown is None or now is None:
        return shown is now
    return abs(now - shown) <= max(1.0, 0.2 * shown)


def _as_failure(error: EngineError) -> GenerationFailed:
    if isinstance(error, GenerationFailed):
        return error
    return GenerationFailed(error.code, str(error), **error.values)
