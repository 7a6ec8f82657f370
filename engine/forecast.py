"""When everybody's turn will come: the steps to come are gone through on a twin of the scheduler whose clock runs ahead."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.batch import BatchKey, PictureProgress, ScheduledBatch, Size
from engine.scheduler import Scheduler
from engine.shares import ShareId
from engine.waiting import Waiting

Seconds = Callable[[Size, float], float]
"""What a step of a size takes with so many rows."""

FAR = 120
"""Requests whose steps are gone through; those behind them are reckoned by their work, or a long queue would cost too much."""


@dataclass(frozen=True)
class _Shown:
    """A place and the seconds until the pictures are ready, if anything was measured."""

    place: int
    seconds: float | None


class Forecast:
    """Places in the queue and seconds that do not jump about.

    What is promised: a place moves back by no more than the requests that other shares and lanes have added since it
    was last asked for, and never because of later ones of its own share. As long as steps take what they took, the
    seconds grow by no more than those of the work that was added and of the models that have to be loaded since; and by
    no greater a factor than the steps whose time has grown most. To keep that, two requests may be shown the same place.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._shown: dict[int, _Shown] = {}
        """By arrival: ids may come again."""
        self._work: dict[int, float] = {}
        """Row-steps that were left of every request, likewise."""
        self._took: dict[tuple[Size, int], float] = {}
        """Seconds of the narrowest and the widest steps."""
        self._loads: Mapping[str, float] = {}

    def places(
        self, seconds: Seconds | None, loads: Mapping[str, float] | None = None
    ) -> Mapping[str, tuple[int, float | None]]:
        """Position (1 is next) and seconds until the pictures are ready, of every request not yet started.

        `seconds`: None where nothing was measured. `loads`: seconds until models are ready that are not yet, as far as
        they can be told.
        """
        scheduler = self._scheduler
        loads = {} if loads is None else loads
        order = in_order(scheduler.requests.values(), scheduler.clock(), scheduler.max_wait)
        ready: Mapping[str, float] = {}
        if seconds is not None:
            first, ready = _rehearse(scheduler, order, seconds, loads)
            turns = {id_: turn for turn, id_ in enumerate(first)}
            order.sort(key=lambda waiting: turns.get(waiting.request.request_id, len(turns)))
        newcomers = Counter(waiting.share.id for waiting in order if waiting.arrival not in self._work)
        grown, factor = (0.0, 1.0) if seconds is None else self._grown(order, seconds, loads)
        shown: dict[int, _Shown] = {}
        places: dict[str, tuple[int, float | None]] = {}
        place = 0
        for waiting in order:
            if waiting.started:
                continue
            place += 1
            now, left = place, ready.get(waiting.request.request_id)
            if (before := self._shown.get(waiting.arrival)) is not None:
                now = min(now, before.place + newcomers.total() - newcomers[waiting.share.id])
                if left is not None and before.seconds is not None:
                    left = min(left, before.seconds * factor + grown)
            shown[waiting.arrival] = _Shown(now, left)
            places[waiting.request.request_id] = (now, left)
        self._shown, self._loads = shown, loads
        self._work = {waiting.arrival: waiting.work for waiting in order}
        return places

    def _grown(
        self, order: Sequence[Waiting], seconds: Seconds, loads: Mapping[str, float]
    ) -> tuple[float, float]:
        """By how many seconds, and before that by which factor, what was shown may grow."""
        grown = sum(max(0.0, left - self._loads.get(model, 0.0)) for model, left in loads.items())
        for waiting in order:
            more = waiting.work - self._work.get(waiting.arrival, 0.0)
            if more <= 0:
                continue
            # A pipeline of diffusers' own says only while it runs how many steps it takes; all of a newcomer is more.
            for size, work in waiting.work_by_size():
                rows = min(waiting.rows * len(waiting.pictures), self._scheduler.budget(size))
                grown += more / waiting.work * work * seconds(size, rows) / rows
        sizes = {size for waiting in order for size, _ in waiting.sizes}
        took = {
            (size, rows): seconds(size, rows) for size in sizes for rows in (1, self._scheduler.budget(size))
        }
        # The time of a step is a line over its rows: between the narrowest and the widest none has grown more.
        ratios = [now / then for key, now in took.items() if (then := self._took.get(key))]
        self._took = took
        return grown, max(ratios, default=1.0)


def in_order(requests: Iterable[Waiting], now: float, max_wait: float) -> list[Waiting]:
    """Everybody in the order in which they would be served if all models took turns: a share's next request counts as if
    the ones before it were done.
    """
    by_share: dict[ShareId, list[Waiting]] = {}
    for waiting in requests:
        by_share.setdefault(waiting.share.id, []).append(waiting)
    order: list[tuple[tuple[float, ...], Waiting]] = []
    for members in by_share.values():
        share = members[0].share
        ranked: list[tuple[tuple[float, ...], Waiting]] = []
        for waiting in members:
            id_ = waiting.request.request_id
            lines = (share.lines[model] for model in waiting.models)
            since = min(
                (line.since(waiting.submitted_at) for line in lines if line.eldest == id_), default=now
            )
            over_age = now - since > max_wait
            key: tuple[float, ...] = (
                (0, since, waiting.arrival) if over_age else (1, waiting.work, waiting.arrival)
            )
            ranked.append((key, waiting))
        ranked.sort(key=lambda entry: entry[0])
        service = share.service
        for key, waiting in ranked:
            # The work of an over-age request is done out of turn, but it counts on its share all the same.
            place = key if not key[0] else (1, share.id[0], service // share.quantum, *key[1:])
            order.append((place, waiting))
            service += waiting.work / waiting.request.share_weight
    order.sort(key=lambda entry: entry[0])
    return [waiting for _, waiting in order]


def _rehearse(
    scheduler: Scheduler, order: Sequence[Waiting], seconds: Seconds, loads: Mapping[str, float]
) -> tuple[list[str], dict[str, float]]:
    """Whom the next steps begin with, in order, and the seconds until every request is ready."""
    start = now = scheduler.clock()
    near, far = order[:FAR], order[FAR:]
    twin = scheduler.twin(lambda: now, [waiting.request.request_id for waiting in near])
    twin.ready |= {model for waiting in near for model in waiting.models if model not in loads}
    coming = {model: start + left for model, left in loads.items()}
    begun: dict[str, None] = {}
    ready: dict[str, float] = {}
    while len(twin):
        for model in [model for model, at in coming.items() if at <= now]:
            twin.ready.add(model)
            del coming[model]
        not_started = twin.waiting
        batch = twin.schedule()
        if batch is None:
            now = min(coming.values())
            continue
        begun.update(dict.fromkeys(picture.request.request_id for picture in batch.pictures))
        step = seconds(batch.key.size, batch.rows)
        # Others may have their turn when a hold has passed, a model has come or somebody is over age.
        until = min([now + twin.hold / 2, *coming.values()])
        left_here = [twin.requests[p.request.request_id].size_left(p.index)[1] for p in batch.pictures]
        steps = max(1, min([*left_here, math.ceil((until - now) / step)] if step else left_here))
        if twin.waiting < not_started:
            steps = 1  # Some may have joined for this one only.
        now += steps * step
        for id_ in twin.update(_after(twin, batch, steps)):
            ready[id_] = now - start
    left = now - start
    for waiting in far:
        for size, work in waiting.work_by_size():
            rows = scheduler.budget(size)
            left += work * seconds(size, rows) / rows
        ready[waiting.request.request_id] = left
    return list(begun), ready


def _after(twin: Scheduler, batch: ScheduledBatch, steps: int) -> list[PictureProgress]:
    """Where so many of one step leave its pictures, none of which goes further than the end of its size."""
    progress = []
    for picture in batch.pictures:
        waiting = twin.requests[picture.request.request_id]
        place, left = waiting.size_left(picture.index)
        done, all_left = waiting.steps_done[picture.index] + steps, waiting.steps_left[picture.index]
        key: BatchKey | None = batch.key
        if steps >= all_left:
            key = None
        elif steps >= left:
            later, _ = waiting.sizes[place + 1]
            key = replace(batch.key, stage=later.stage, width=later.width, height=later.height)
        progress.append(
            PictureProgress(
                picture.request.request_id, picture.index, done, done + max(0, all_left - steps), key
            )
        )
    return progress
