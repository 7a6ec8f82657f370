"""When everybody's turn will come: the order of service foretold, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.shares import ShareId
from engine.waiting import Waiting


@dataclass(frozen=True)
class _Shown:
    """A place and the row-steps behind its seconds, and what there had been by then."""

    place: int
    ahead: float
    others: int
    """Requests ever added by other shares and lanes."""
    work_added: float
    """Row-steps of all requests."""


class Forecast:
    """Places and seconds that do not jump about.

    What is promised: a place moves back by no more than the requests that other shares and lanes have added since it
    was last asked for, and never because of later ones of its own share; the row-steps behind the seconds grow by
    no more than the work that was added. To keep that, two requests may be shown the same place.
    """

    def __init__(self) -> None:
        self._arrivals = 0
        self._work_added = 0.0
        self._shown: dict[str, _Shown] = {}

    def add(self, work: float) -> None:
        """Take note of a new request with so many row-steps."""
        self._arrivals += 1
        self.add_work(work)

    def add_work(self, work: float) -> None:
        """Take note that a request takes more row-steps than was known."""
        self._work_added += work

    def places(
        self, order: Iterable[Waiting], seconds_per_row_step: float | None
    ) -> Mapping[str, tuple[int, float | None]]:
        """Position (1 is next) and seconds until the pictures are ready, of every request of `order` not yet started."""
        ahead = 0.0
        place = 0
        places: dict[str, tuple[int, float | None]] = {}
        shown: dict[str, _Shown] = {}
        for waiting in order:
            ahead += waiting.work
            if waiting.started:
                continue
            place += 1
            id_, others = waiting.request.request_id, self._arrivals - waiting.share.arrivals
            now = _Shown(place, ahead, others, self._work_added)
            if (before := self._shown.get(id_)) is not None:
                now = _Shown(
                    min(place, before.place + others - before.others),
                    min(ahead, before.ahead + self._work_added - before.work_added),
                    others,
                    self._work_added,
                )
            shown[id_] = now
            places[id_] = (
                now.place,
                None if seconds_per_row_step is None else now.ahead * seconds_per_row_step,
            )
        self._shown = shown
        return places


def in_order(requests: Iterable[Waiting], now: float, max_wait: float, quantum: float) -> list[Waiting]:
    """Everybody in the order in which they will probably be served: a share's next request counts as if the ones before
    it were done.
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
            ranked.append(
                ((0, since, waiting.arrival) if over_age else (1, waiting.work, waiting.arrival), waiting)
            )
        ranked.sort(key=lambda entry: entry[0])
        service = share.service
        for key, waiting in ranked:
            # The work of an over-age request is done out of turn, but it counts on its share all the same.
            place = key if not key[0] else (1, share.id[0], service // quantum, *key[1:])
            order.append((place, waiting))
            service += waiting.work / waiting.request.share_weight
    order.sort(key=lambda entry: entry[0])
    return [waiting for _, waiting in order]
