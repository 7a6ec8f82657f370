"""Which pictures step next. Plain Python on a clock that tests can turn; it never sees a tensor.

What is scheduled is one picture: one row of a step, two where guidance asks for it. The first picture in
order sets the BatchKey; pictures with the same key fill the row budget. Every choice comes from one sort
key, `Scheduler._order`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.catalog import FAMILIES, Guidance, ModelInfo
from engine.request import GenerateRequest, Lane, Request

MAX_WAIT = 120.0
"""Seconds after which a request that has not started goes before everything younger, whatever its lane."""


@dataclass(frozen=True)
class BatchKey:
    """Who may share a step: pictures with equal keys. `width` and `height` are pixels of the result, 0 where sizes mix."""

    model: str
    stage: str
    width: int
    height: int
    conditioning: str = ""
    """What an adapter that cannot be mixed per row adds of itself."""
    padding: str = ""


@dataclass(frozen=True)
class ScheduledPicture:
    """One picture of a request, by its index in `request.seeds`, and the rows it takes."""

    request: Request
    index: int
    rows: int


@dataclass(frozen=True)
class ScheduledBatch:
    """What one step runs: pictures of one key, and the rows they take."""

    key: BatchKey
    pictures: tuple[ScheduledPicture, ...]
    rows: int


@dataclass(frozen=True)
class PictureProgress:
    """Where a picture stands after a step: `step` of `steps` done; `next_key` is None once it is finished."""

    request_id: str
    index: int
    step: int
    steps: int
    next_key: BatchKey | None


@dataclass
class _Waiting:
    """A request until its last picture is finished. `pictures` holds the unfinished ones."""

    request: Request
    arrival: int
    start_tag: float
    rows: int
    """Of each picture."""
    pictures: dict[int, BatchKey]
    steps_left: dict[int, int]
    started: bool = False


def rows_per_picture(request: Request, model: ModelInfo) -> int:
    """2 where guidance adds an unconditional row to every picture, else 1."""
    match model.guidance:
        case Guidance.CLASSIFIER_FREE:
            guided = request.params.guidance_scale > 1
        case Guidance.FROM_ZERO:
            guided = request.params.guidance_scale > 0
        case Guidance.EMBEDDED:
            guided = bool(request.params.negative_prompt)
        case Guidance.NONE:
            guided = False
    return 2 if guided else 1


@dataclass
class Scheduler:
    """All waiting and running requests, and the order they step in.

    Fair share is start-time fair queueing: each request gets a start tag on arrival, which grows with the
    work its share_key has already asked for, divided by its weight. Tags never change, so places in the queue
    only move forward.
    """

    row_budget: int
    """Most rows of one step; at least 2, so that one guided picture always fits."""
    clock: Callable[[], float] = time.time
    ready: set[str] = field(default_factory=set)
    """Models that are loaded; pictures of other models wait. Set by the core."""

    def __post_init__(self) -> None:
        self._requests: dict[str, _Waiting] = {}
        self._arrivals = 0
        self._virtual_time = 0.0
        self._finish_tags: dict[str, float] = {}
        self._ordered: list[_Waiting] | None = None
        self._ordered_at = 0.0
        self.changes = 0
        """Grows whenever places in the queue may have changed."""

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._requests

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request, model: ModelInfo) -> None:
        """Queue every picture of a request whose id is not queued yet and whose `submitted_at` is filled in."""
        assert request.request_id not in self._requests, "the front door refuses ids that are in use"
        key = first_key(request, model)
        share = self._finish_tags.get(request.share_key, 0.0)
        waiting = _Waiting(
            request=request,
            arrival=self._arrivals,
            start_tag=max(self._virtual_time, share),
            rows=rows_per_picture(request, model),
            pictures=dict.fromkeys(range(len(request.seeds)), key),
            steps_left=dict.fromkeys(range(len(request.seeds)), request.params.num_inference_steps),
        )
        self._arrivals += 1
        self._finish_tags[request.share_key] = waiting.start_tag + _work(waiting) / request.share_weight
        self._requests[request.request_id] = waiting
        self._changed()

    def abort(self, request_id: str) -> bool:
        """Forget a request; the next batch does not hold it. False when it is not here."""
        waiting = self._requests.pop(request_id, None)
        if waiting is None:
            return False
        # Work that is not done does not count on the share.
        self._finish_tags[waiting.request.share_key] -= _work(waiting) / waiting.request.share_weight
        self._changed()
        return True

    def schedule(self) -> ScheduledBatch | None:
        """The pictures of the next step, or None when nothing can run."""
        key: BatchKey | None = None
        rows = 0
        pictures: list[ScheduledPicture] = []
        for waiting in self._in_order():
            for index, picture_key in waiting.pictures.items():
                if picture_key.model not in self.ready:
                    continue
                if key is None:
                    key = picture_key
                    self._virtual_time = max(self._virtual_time, waiting.start_tag)
                if picture_key == key and rows + waiting.rows <= self.row_budget:
                    pictures.append(ScheduledPicture(waiting.request, index, waiting.rows))
                    rows += waiting.rows
                    if not waiting.started:
                        waiting.started = True
                        self._changed()
            if rows == self.row_budget:
                break
        return None if key is None else ScheduledBatch(key, tuple(pictures), rows)

    def update(self, progress: Iterable[PictureProgress]) -> list[str]:
        """Take note of what a step did; returns the ids of requests whose last picture is now finished."""
        finished = []
        for report in progress:
            waiting = self._requests.get(report.request_id)
            if waiting is None:
                continue  # It was aborted while the step ran.
            waiting.steps_left[report.index] = report.steps - report.step
            if report.next_key is not None:
                waiting.pictures[report.index] = report.next_key
                continue
            del waiting.pictures[report.index]
            if not waiting.pictures:
                del self._requests[report.request_id]
                finished.append(report.request_id)
        if finished:
            self._changed()
        return finished

    def places(self, seconds_per_row_step: float | None) -> Mapping[str, tuple[int, float | None]]:
        """Position (1 is next) and seconds until the pictures are ready, of every request not yet started."""
        ahead = 0.0
        places: dict[str, tuple[int, float | None]] = {}
        for waiting in self._in_order():
            ahead += _work(waiting)
            if not waiting.started:
                eta = None if seconds_per_row_step is None else ahead * seconds_per_row_step
                places[waiting.request.request_id] = (len(places) + 1, eta)
        return places

    @property
    def waiting(self) -> int:
        """Requests of which no picture has been stepped yet."""
        return sum(not waiting.started for waiting in self._requests.values())

    def waits_for(self, model: str) -> list[str]:
        """Ids of the requests that need a model, in order."""
        return [item.request.request_id for item in self._in_order() if item.request.model == model]

    def _changed(self) -> None:
        self.changes += 1
        self._ordered = None
        if not self._requests:
            self._finish_tags.clear()
            self._virtual_time = 0.0

    def _in_order(self) -> list[_Waiting]:
        """Everybody by `_order`; sorted anew when something changed, and once a second for those who grew old."""
        now = self.clock()
        if self._ordered is None or now - self._ordered_at >= 1.0:
            self._ordered = sorted(self._requests.values(), key=lambda waiting: self._order(waiting, now))
            self._ordered_at = now
        return self._ordered

    def _order(self, waiting: _Waiting, now: float) -> tuple[float, ...]:
        """The one sort key: over-age requests, oldest first; then lane, fair share, what is started, age."""
        submitted_at = waiting.request.submitted_at or 0.0
        if now - submitted_at > MAX_WAIT:
            return (0, submitted_at, waiting.arrival)
        relaxed = waiting.request.lane is Lane.RELAXED
        return (1, relaxed, waiting.start_tag, not waiting.started, submitted_at, waiting.arrival)


def first_key(request: GenerateRequest, model: ModelInfo) -> BatchKey:
    """The key of a request's first stage, known before anything of it is opened."""
    family = FAMILIES[model.family]
    width, height = (0, 0) if family.mixes_sizes else (request.params.width, request.params.height)
    alone = request.request_id if family.alone else ""
    return BatchKey(request.model, family.stages[0], width, height, conditioning=alone)


def _work(waiting: _Waiting) -> float:
    """Row-steps that are left."""
    left = sum(waiting.steps_left[index] for index in waiting.pictures)
    return float(left * waiting.rows)
