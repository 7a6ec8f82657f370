"""Which pictures step next. Plain Python on a clock that tests can turn; it never sees a tensor.

What is scheduled is one picture: one row of a step, two where guidance asks for it, and as many times that as it is
larger than its model's native size where sizes mix. The first picture in order sets the BatchKey; pictures with the
same key fill the row budget. Every choice comes from one sort key, which `Scheduler` tells and `Pile.first` builds.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.batch import BatchKey, PictureProgress, ScheduledBatch, ScheduledPicture, Size, first_key, sizes
from engine.catalog import ModelInfo
from engine.passes import passes, rows_per_picture, weight_of
from engine.piles import Piles
from engine.request import Lane, Request
from engine.shares import Line, Share, ShareId
from engine.waiting import Waiting

MAX_WAIT = 300.0
"""Seconds after which the eldest request of a share and model is over age and goes before everybody younger."""
QUANTUM = 800.0
"""Row-steps ÷ weight by which shares are compared: four guided grids of 25 steps. A smaller one shares more evenly and
makes half of all jobs later, see `engine.benchmark.simulation`.
"""
HOLD = 20.0
"""Seconds for which a model that has work keeps others waiting."""
LONG = 24
"""Rows from which on a queue counts more than its length, for those who will come while it lasts."""
SEEN = 8
"""Requests under way up to which newcomers are seen to begin."""


@dataclass
class Scheduler:
    """All waiting and running requests, and the one order they step in.

    1. Over-age requests, the longest over age first, whatever lane and model. Of each share in each lane, and of each
       model, the eldest request ages that is not held back; the next one's age counts from the end of the turn that the
       last one had.
       **Bound:** a request over age whose model is ready is next served within as many steps as the over-age requests
       before it have picture-steps left, at most one of each share, lane and ready model; nobody who comes later goes
       before it, only an elder one of its own line that is released.
    2. The fast lane before the relaxed one.
    3. The share with the least weighted service (rows × steps done ÷ weight), compared in quanta: with finer ones
       equal users would take turns step by step, and everybody would finish late. A share that comes or comes back
       starts at the level being served, so that idling earns no credit.
    4. The least work left, so that single pictures pass grids; then first come, first served.

    A step holds as many rows as make pictures ready soonest on average. With Q rows waiting and steps of r that take
    a + b·r seconds, everybody is ready in proportion to (Q + r)·(a + b·r) ÷ r, which is least at r² = Q·a/b: a short
    queue is served request by request, a long one in wide steps. `overheads` holds a/b. Into the rest of the budget comes
    one picture of whoever is new, for one step and while fewer than SEEN requests are under way: they are seen to begin at
    once, for work that has to be done anyway; those behind them are told their place.

    While the current model has work and has not been held for `hold` seconds, other models wait, except for over-age
    requests. Something steps whenever a request of a ready model waits. A step costs O(rows · log n).

    Pictures that need another copy of their model than the request names say so in their key; such a copy is held in
    turn with the model.
    """

    row_budget: int
    """Most rows of one step where nothing was measured; at least 2, so that one guided picture always fits. A picture that
    is larger than the whole budget steps alone."""
    clock: Callable[[], float] = time.time
    ready: set[str] = field(default_factory=set)
    """Models that are loaded; pictures of other models wait. Set by the core."""
    row_budgets: dict[Size, int] = field(default_factory=dict)
    """Most rows of one step by (model, width, height). Set by the core from what the worker measured."""
    overheads: dict[Size, float] = field(default_factory=dict)
    """How many rows take as long as what a step costs beside its rows, likewise; steps are filled where it is not known."""
    quantum: float = QUANTUM
    max_wait: float = MAX_WAIT
    hold: float = HOLD

    def __post_init__(self) -> None:
        self._requests: dict[str, Waiting] = {}
        self._shares: dict[ShareId, Share] = {}
        self._piles = Piles(self._requests)
        self._wanted: Counter[str] = Counter()
        """Requests with unfinished pictures of a model, whether they are held back or not."""
        self._floors = {False: 0, True: 0}
        self._model: str | None = None
        self._held_since = 0.0
        self._arrivals = 0
        self._rows = 0
        """Of all pictures that are not finished, except of requests that are held back."""
        self._started = 0
        self.changes = 0
        """Grows whenever places in the queue may have changed."""

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._requests

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request, model: ModelInfo) -> None:
        """Queue every picture of a request whose id is not queued yet and whose `submitted_at` is filled in."""
        assert request.request_id not in self._requests, "the front door refuses ids that are in use"
        share = self._open_share((request.lane is Lane.RELAXED, request.share_key))
        indices = range(request.count)
        waiting = Waiting(
            request=request,
            arrival=self._arrivals,
            share=share,
            rows=rows_per_picture(request, model),
            weight=weight_of(request, model),
            sizes=sizes(request, model),
            pictures=dict.fromkeys(indices, first_key(request, model)),
            steps_left=dict.fromkeys(indices, sum(each.steps for each in passes(request, model))),
            steps_done=dict.fromkeys(indices, 0),
        )
        self._arrivals += 1
        self._requests[request.request_id] = waiting
        share.waiting += 1
        self._enter(waiting)
        self.changes += 1

    def abort(self, request_id: str) -> bool:
        """Forget a request; the next batch does not hold it. False when it is not here."""
        waiting = self._requests.get(request_id)
        if waiting is None:
            return False
        self._end(waiting)
        return True

    def hold_back(self, request_id: str, model: str) -> None:
        """Leave a request's pictures of a model out of every step until they are released: others must not wait for what
        they need.
        """
        waiting = self._requests[request_id]
        waiting.held.add(model)
        self._enter(waiting)

    def release(self, request_id: str, model: str) -> None:
        """Let pictures that were held back take their turn."""
        waiting = self._requests[request_id]
        waiting.held.discard(model)
        self._enter(waiting)

    def schedule(self) -> ScheduledBatch | None:
        """The pictures of the next step, or None when nothing can run."""
        now = self.clock()
        first = self._first(now, self.ready)
        if first is None:
            return None
        order, key, request = first
        if order[0]:
            relaxed = bool(order[1])
            self._floors[relaxed] = max(self._floors[relaxed], int(order[2]))
        if request.model != self._model:
            self._model, self._held_since = request.model, now
        pictures = self._fill(key, now - self.max_wait)
        unneeded = frozenset(model for model in self.ready if not self.wants(model))
        return ScheduledBatch(key, pictures, sum(picture.rows for picture in pictures), unneeded)

    def update(self, progress: Iterable[PictureProgress]) -> list[str]:
        """Take note of what a step did; returns the ids of requests whose last picture is now finished."""
        finished = []
        touched: dict[str, Waiting] = {}
        for report in progress:
            waiting = self._requests.get(report.request_id)
            if waiting is None:
                continue  # It was aborted while the step ran.
            touched[report.request_id] = waiting
            done = max(0, report.step - waiting.steps_done[report.index])
            left = report.steps - report.step
            self._serve(waiting.share, waiting.rows * done / waiting.request.share_weight)
            waiting.steps_done[report.index] = report.step
            waiting.steps_left[report.index] = left
            if report.next_key is None:
                del waiting.pictures[report.index]
            else:
                waiting.pictures[report.index] = report.next_key
        for request_id, waiting in touched.items():
            if waiting.pictures:
                self._enter(waiting)
            else:
                self._end(waiting)
                finished.append(request_id)
        return finished

    def twin(self, clock: Callable[[], float], request_ids: Iterable[str]) -> Scheduler:
        """Another scheduler in the same state, for these requests only, none of them held back and nobody after them: what
        is done to it changes nothing here.
        """
        twin = replace(self, clock=clock, ready=set(self.ready))
        twin._model, twin._held_since = self._model, self._held_since
        for request_id in request_ids:
            waiting = self._requests[request_id]
            share = waiting.share
            if share.id not in twin._shares:
                lines = {model: Line(turn_ended=line.turn_ended) for model, line in share.lines.items()}
                twin._shares[share.id] = Share(share.id, share.service, share.quantum, lines=lines)
            mine = twin._requests[request_id] = replace(
                waiting,
                share=twin._shares[share.id],
                pictures=dict(waiting.pictures),
                steps_left=dict(waiting.steps_left),
                steps_done=dict(waiting.steps_done),
                piles=set(),
                rows_counted=0,
                models=set(),
                held=set(),
                stepped_over_age=set(waiting.stepped_over_age),
            )
            twin._started += mine.started
            twin._enter(mine)
        return twin

    @property
    def requests(self) -> Mapping[str, Waiting]:
        """All that have not ended, in the order of their arrival."""
        return self._requests

    def budget(self, size: Size) -> int:
        """Most rows of a step."""
        return max(2, self.row_budgets.get(size, self.row_budget))

    @property
    def waiting(self) -> int:
        """Requests of which no picture has been stepped yet."""
        return len(self._requests) - self._started

    @property
    def has_work(self) -> bool:
        """Whether `schedule` would find anything."""
        return any(model in self._piles for model in self.ready)

    def wants(self, model: str) -> bool:
        """Whether any request needs a model."""
        return self._wanted[model] > 0

    def preferred(self, models: Iterable[str]) -> str | None:
        """The one of some models that are not ready whose request goes before those of all others, if there is one."""
        first = self._first(self.clock(), {*self.ready, *models})
        return None if first is None or first[1].model in self.ready else first[1].model

    def waits_for(self, model: str) -> list[str]:
        """Ids of the requests that need a model, in the order of their arrival."""
        return [
            request_id
            for request_id, item in self._requests.items()
            if any(key.model == model for key in item.pictures.values())
        ]

    def _first(self, now: float, models: Iterable[str]) -> tuple[tuple[float, ...], BatchKey, Request] | None:
        """Who goes first of all requests with pictures of some models, and the key of one of these."""
        heads = []
        for model in models:
            if (head := self._piles.first(model, now - self.max_wait)) is not None:
                order, request_id = head
                # Where a request has pictures of several models, those go first that can.
                heads.append((order, model not in self.ready, model, self._requests[request_id]))
        current = any(one.request.model == self._model and not missing for _, missing, _, one in heads)
        if current and now - self._held_since < self.hold:
            heads = [head for head in heads if not head[0][0] or head[3].request.model == self._model]
        if not heads:
            return None
        order, _, model, first = min(heads, key=lambda head: head[:3])
        return order, next(key for key in first.pictures.values() if key.model == model), first.request

    def _fill(self, key: BatchKey, over_age_before: float) -> tuple[ScheduledPicture, ...]:
        """Pictures of a key in their order: as many as are worth waiting for, then one each of some newcomers."""
        budget = self.budget(key.size)
        worth = self._rows * max(1.0, self._rows / LONG) * self.overheads.get(key.size, math.inf)
        rows = 0
        pictures: list[ScheduledPicture] = []
        drawn: list[Waiting] = []
        only_new = False
        while not only_new or (self.waiting and self._started < SEEN):
            # What is larger than the whole budget steps alone.
            first = self._piles.first_fitting(key, budget - rows if rows else math.inf, over_age_before)
            if first is None:
                break
            order, request_id = first
            waiting = self._requests[request_id]
            indices = [index for index, picture_key in waiting.pictures.items() if picture_key == key]
            # One picture after the other where not all fit, so that the first can be seen early.
            count = min(len(indices), max((budget - rows) // waiting.rows, 1))
            only_new = only_new or rows * (rows + count * waiting.rows) > worth
            if only_new:
                count = 0 if waiting.started else 1
            if count:
                self._start(waiting)
                if not order[0]:
                    waiting.stepped_over_age.add(key.model)
            for index in sorted(indices, key=waiting.steps_left.__getitem__)[:count]:
                pictures.append(ScheduledPicture(waiting.request, index, waiting.rows, waiting.weight))
                rows += waiting.rows
            self._piles.set_aside(waiting, key)
            drawn.append(waiting)
        for waiting in drawn:
            self._piles.put_back(waiting, key)
        return tuple(pictures)

    def _open_share(self, id_: ShareId) -> Share:
        """The account of a share that is about to have one request more."""
        floor = self._floors[id_[0]] * self.quantum
        share = self._shares.get(id_)
        if share is None:
            if len(self._shares) % 1024 == 1023:
                # Who has nothing waiting and no more than the floor would start anew at the floor.
                idle = [i for i, s in self._shares.items() if not s.waiting and s.service <= floor]
                for id_idle in idle:
                    del self._shares[id_idle]
            share = self._shares[id_] = Share(id_, floor, self.quantum)
        elif not share.waiting:
            share.service = max(share.service, floor)
        return share

    def _serve(self, share: Share, service: float) -> None:
        """Charge what was done for a share."""
        before = share.level
        share.service += service
        if share.level != before:
            self._piles.move(share)

    def _enter(self, waiting: Waiting) -> None:
        """Let what is left of a request count: its models, its turn, its rows and where it waits."""
        models = {key.model for key in waiting.pictures.values()}
        self._wanted.update(models - waiting.models)
        self._wanted.subtract(waiting.models - models)
        for model in (waiting.models - models) & waiting.stepped_over_age:
            waiting.share.lines[model].turn_ended = self.clock()
        waiting.models = models
        self._piles.sort(waiting)
        self._rows -= waiting.rows_counted
        waiting.rows_counted = waiting.rows * len(waiting.pictures) if waiting.piles else 0
        self._rows += waiting.rows_counted

    def _start(self, waiting: Waiting) -> None:
        """Take note that a request has its first step, or another one."""
        if not waiting.started:
            waiting.started = True
            self._started += 1
            self.changes += 1

    def _end(self, waiting: Waiting) -> None:
        """Take a request out, finished or not."""
        request_id, share = waiting.request.request_id, waiting.share
        waiting.pictures.clear()
        self._enter(waiting)
        del self._requests[request_id]
        self._started -= waiting.started
        share.waiting -= 1
        self.changes += 1
        if not self._requests:
            self._shares.clear()
