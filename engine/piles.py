"""Where everybody waits: a pile for each model, and one for each BatchKey and number of rows."""

from __future__ import annotations

from collections.abc import Mapping

from engine.batch import BatchKey
from engine.shares import Key, Line, Pile, Share
from engine.waiting import PileId, Waiting


class Piles:
    """Every request with unfinished pictures that are not held back, in all the piles that these belong to."""

    def __init__(self, requests: Mapping[str, Waiting]) -> None:
        """`requests`: all that have not ended, by id; whoever hands them over keeps them up to date."""
        self._requests = requests
        self._piles: dict[PileId, Pile] = {}
        self._widths: dict[BatchKey, set[int]] = {}
        """How many rows the waiting pictures of a key take each."""

    def __contains__(self, model: str) -> bool:
        """Whether anybody waits for a step of a model."""
        return model in self._piles

    def first(self, model: str, over_age_before: float) -> tuple[Key, str] | None:
        """Who goes first with a model, as `Pile.first` says."""
        pile = self._piles.get(model)
        return None if pile is None else pile.first(over_age_before)

    def first_fitting(self, key: BatchKey, rows: float, over_age_before: float) -> tuple[Key, str] | None:
        """Likewise, of those with pictures of a key that take no more than so many rows each."""
        fitting = [self._piles[key, width] for width in self._widths.get(key, ()) if width <= rows]
        heads = [head for pile in fitting if (head := pile.first(over_age_before)) is not None]
        return min(heads, default=None)

    def set_aside(self, waiting: Waiting, key: BatchKey) -> None:
        """Let the next one of a key come first, until `put_back`."""
        share = waiting.share
        self._piles[key, waiting.rows].drop(waiting.request.request_id, share.id, share.level)

    def put_back(self, waiting: Waiting, key: BatchKey) -> None:
        """Enter a request again where it was set aside."""
        self._put(self._piles[key, waiting.rows], waiting)
        self._age(waiting.share, key.model)

    def sort(self, waiting: Waiting) -> None:
        """Put a request where its unfinished pictures belong, and take it out everywhere else."""
        request_id, share = waiting.request.request_id, waiting.share
        keys = {key for key in waiting.pictures.values() if key.model not in waiting.held}
        piles: set[PileId] = {*(key.model for key in keys), *((key, waiting.rows) for key in keys)}
        for id_ in waiting.piles - piles:
            pile = self._piles[id_]
            if not pile.drop(request_id, share.id, share.level):
                share.piles.discard(pile)
            if not len(pile):
                self._close(id_)
        for id_ in piles:
            pile = self._open(id_)
            self._put(pile, waiting)
            share.piles.add(pile)
        models = {_model_of(id_) for id_ in waiting.piles | piles}
        waiting.piles = piles
        for model in models:
            line = share.lines.setdefault(model, Line())
            if model in piles:
                line.by_age.put(request_id, (waiting.submitted_at, waiting.arrival))
            else:
                line.by_age.drop(request_id)
            self._age(share, model)

    def move(self, share: Share) -> None:
        """Take note of the level that a share has reached, wherever it has requests."""
        for pile in share.piles:
            pile.move(share.id, share.level)

    def _put(self, pile: Pile, waiting: Waiting) -> None:
        share = waiting.share
        pile.put(waiting.request.request_id, share.id, share.level, waiting.work, waiting.arrival)

    def _open(self, id_: PileId) -> Pile:
        if id_ not in self._piles:
            self._piles[id_] = Pile()
            if isinstance(id_, tuple):
                self._widths.setdefault(id_[0], set()).add(id_[1])
        return self._piles[id_]

    def _close(self, id_: PileId) -> None:
        del self._piles[id_]
        if isinstance(id_, tuple):
            key, rows = id_
            self._widths[key].discard(rows)
            if not self._widths[key]:
                del self._widths[key]

    def _age(self, share: Share, model: str) -> None:
        """Let the age of its eldest request with a model count in the piles of that model, and no other's."""
        line = share.lines[model]
        first = line.by_age.first()
        eldest = None if first is None else first[1]
        if line.eldest != eldest:
            before = None if line.eldest is None else self._requests.get(line.eldest)
            if before is not None:
                for id_ in before.piles:
                    if _model_of(id_) == model:
                        self._piles[id_].drop_eldest(before.request.request_id)
            line.eldest = eldest
        if eldest is not None:
            waiting = self._requests[eldest]
            for id_ in waiting.piles:
                if _model_of(id_) == model:
                    self._piles[id_].put_eldest(eldest, line.since(waiting.submitted_at), waiting.arrival)


def _model_of(pile: PileId) -> str:
    return pile if isinstance(pile, str) else pile[0].model
