"""Which models come to the device, and which of those that are there give way to them.

`engine.residents` counts the bytes, the scheduler says who is served first, and the executor moves the weights; here is
what is made of the three between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from engine.catalog import ModelInfo
from engine.executor import Executor, Fetched, Loaded, Prepared
from engine.output import Loading
from engine.paces import Paces
from engine.residents import Residents
from engine.scheduler import Scheduler

Told = list[tuple[str, Loading]]
"""Request ids, and what those who wait are told of the model that they wait for."""


class Placement:
    """Loads what is asked for and makes room for it. All methods run on the engine's thread.

    A model that is not loaded is fetched, asks for room once its size is known, is given it, and is loaded.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        paces: Paces,
        executor: Executor,
        models: Mapping[str, ModelInfo],
        report: Callable[[Loading | Fetched | Loaded | Prepared], None],
        clock: Callable[[], float],
    ) -> None:
        """`models`: those that requests may name. `scheduler.ready` is kept up to date."""
        self._scheduler = scheduler
        self._paces = paces
        self._executor = executor
        self._models = models
        self._report = report
        self._clock = clock
        self.loading: dict[str, Loading] = {}
        """Models that are on their way, from when they were asked for until they are loaded."""
        self.residents = Residents()
        self._displacing: str | None = None
        """The model on its way that others with work had to go for."""
        self._displaced_at: float | None = None
        """When such a model last came."""

    def make_room(self) -> Told:
        """Load what waits for room, where models without work can go; or else what is to be served before those that
        have some.

        A model that others with work had to go for stays for as long as the scheduler holds one, counted from when it
        was loaded, so that two that do not fit together take turns instead of loading all the time. The scheduler's
        own order bounds the wait: nobody younger goes before a request that is over age, whatever its model.
        """
        scheduler, residents = self._scheduler, self.residents
        for copy in [model for model in scheduler.ready if self._is_copy(model)]:
            if not scheduler.wants(copy):
                self._evict(copy)  # It is of use to nobody but those it was loaded for.
        told: Told = []
        if not residents.waiting:
            return told
        idle = self._idle()
        for model in list(residents.waiting):
            victims = self._victims(model, idle)
            if (victims or self._is_copy(model)) and not scheduler.wants(model):
                # Whoever asked for it has gone; nobody's model is thrown out for that.
                residents.leave(model)
                del self.loading[model]
            elif victims is not None:
                told += self._replace(victims, model)
        if residents.waiting and not residents.loading and not self._held():
            preferred = scheduler.preferred(residents.waiting)
            victims = None if preferred is None else self._victims(preferred, scheduler.ready)
            if preferred is not None and victims is not None:
                self._displacing = preferred
                told += self._replace(victims, preferred)
        return told

    def load(self, model: str) -> None:
        """Start loading a model, unless it is loaded or on its way."""
        if model not in self._scheduler.ready and model not in self.loading:
            self.loading[model] = Loading(model, 0.0)
            self._executor.load(model, self._report)

    def on_progress(self, event: Loading) -> Told:
        """Take in how far a load has come."""
        before = self.loading.get(event.model)
        if before is None or event.fraction >= before.fraction:
            self.loading[event.model] = event
        return self._told_of(event.model)

    def on_fetched(self, event: Fetched) -> None:
        """Let a model whose files are here ask for room."""
        self.residents.budget = event.budget
        self.residents.ask(event.model, event.size)

    def on_loaded(self, event: Loaded) -> None:
        """Take in that a model is here, or could not be loaded, which gives its room back."""
        self.loading.pop(event.model, None)
        self._paces.load_ends(event.model, self._clock(), well=event.error is None)
        if self._displacing == event.model:
            self._displacing, self._displaced_at = None, self._clock()
        if event.error is None:
            self.residents.loaded(event.model)
            self._scheduler.ready.add(event.model)
        else:
            self.residents.leave(event.model)

    def on_named(self, nbytes: int) -> None:
        """Take in what the files that requests name take by now, and bring what is here within the budget: without what
        earlier requests named, then without idle models.
        """
        residents = self.residents
        residents.named = nbytes
        if residents.lacking():
            residents.named = self._executor.shrink(max(0, nbytes - residents.lacking()))
        idle = self._idle()
        victims = residents.victims(None, idle)
        for model in idle if victims is None else victims:
            self._evict(model)

    def left(self, model: str) -> None:
        """Take note that a model is not on the device any more."""
        self._scheduler.ready.discard(model)
        self.residents.leave(model)

    def _held(self) -> bool:
        """Whether a model that others with work had to go for has not been here for long enough."""
        return (
            self._displaced_at is not None
            and self._clock() - self._displaced_at < self._scheduler.hold
            and self._scheduler.has_work
        )

    def _replace(self, victims: list[str], model: str) -> Told:
        """Load a model in the place of others, which come back when there is room for them again."""
        for victim in victims:
            self._evict(victim)
        self.residents.give(model)
        self._paces.load_begins(model, self._clock())
        self._executor.place(model, self._report)
        told: Told = []
        for victim in victims:
            if self._scheduler.wants(victim):
                self.load(victim)
                if not self._is_copy(victim):
                    told += self._told_of(victim)
        return told

    def _victims(self, model: str, removable: Collection[str]) -> list[str] | None:
        """Which models have to go for a waiting one, now that what earlier requests named has gone for it; None where all
        that may go would not make room.
        """
        residents = self.residents
        lacking = residents.lacking(model)
        if lacking and residents.victims(model, removable, sparing=residents.named) is not None:
            residents.named = self._executor.shrink(max(0, residents.named - lacking))
        return residents.victims(model, removable)

    def _told_of(self, model: str) -> Told:
        return [(request_id, self.loading[model]) for request_id in self._scheduler.waits_for(model)]

    def _idle(self) -> set[str]:
        """The models that nobody asks for."""
        return {model for model in self._scheduler.ready if not self._scheduler.wants(model)}

    def _evict(self, model: str) -> None:
        self._executor.evict(model)
        self.left(model)

    def _is_copy(self, model: str) -> bool:
        """Whether it is the worker's own name for a copy of a model, which no request names."""
        return model not in self._models
