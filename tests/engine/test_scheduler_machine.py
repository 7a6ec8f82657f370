"""The scheduler's promises in every order of events that Hypothesis thinks of."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine import GenerateRequest, Lane
from engine.batch import Size
from engine.scheduler import LONG
from tests.engine.scheduling import MODEL, OTHER, REQUESTS, Harness, request


class SchedulerMachine(RuleBasedStateMachine):
    """Requests come, are aborted, and step, in any order; models come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(row_budget=5, ready=(MODEL,), quantum=10.0, max_wait=15.0, hold=4.0)
        self.live: dict[str, GenerateRequest] = {}
        self.count = 0
        self.turn_ended: dict[tuple[Lane, str, str], float] = defaultdict(lambda: float("-inf"))
        self.in_turn: set[str] = set()
        self.within: dict[str, int] = {}
        """Over-age request → steps within which it has to be served."""
        self.shown: dict[str, tuple[int, float]] = {}
        self.added: Counter[tuple[Lane, str]] = Counter()
        self.paces = {
            Size(model, "denoise", width, 512): 1.0 for model in (MODEL, OTHER) for width in (256, 512)
        }
        """Seconds that a row makes a step longer."""
        self.paces_shown = dict(self.paces)
        self.work_added: Counter[Size] = Counter()
        """Row-steps, since places were last asked for."""
        self.load = self.load_shown = 0.0
        """Seconds until the other model is ready."""
        self.held: set[str] = set()
        self.overhead = float("inf")

    @rule(changes=REQUESTS)
    def add(self, changes: dict[str, Any]) -> None:
        self.count += 1
        new = request(str(self.count), submitted_at=self.harness.now, **changes)
        self.harness.add(new)
        self.live[new.request_id] = new
        self.added[new.lane, new.share_key] += 1
        rows = 2 if new.params.guidance_scale > 1 else 1
        self.work_added[self.size(new)] += rows * len(new.seeds) * new.params.num_inference_steps

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(sorted(self.live)))
        assert self.harness.scheduler.abort(victim)
        assert not self.harness.scheduler.abort(victim)
        self.forget(victim)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def hold_back(self, data: st.DataObject) -> None:
        """What a request needs is being read."""
        one = data.draw(st.sampled_from(sorted(self.live)))
        self.harness.scheduler.hold_back(one, self.live[one].model)
        self.held.add(one)
        self.within.clear()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.held)))
        self.harness.scheduler.release(one, self.live[one].model)
        self.held.discard(one)
        self.within.clear()

    @rule(seconds=st.integers(1, 30))
    def other_model(self, seconds: int) -> None:
        """The second model is loaded or leaves, to be loaded again in so many seconds."""
        self.harness.scheduler.ready ^= {OTHER}
        self.load = 0.0 if OTHER in self.harness.scheduler.ready else float(seconds)
        self.within.clear()

    @rule(
        model=st.sampled_from([MODEL, OTHER]),
        width=st.sampled_from([256, 512]),
        pace=st.sampled_from([0.1, 1.0, 3.0]),
    )
    def time_steps(self, model: str, width: int, pace: float) -> None:
        """Steps of a size are seen to take longer or shorter than they did."""
        self.paces[model, width, 512] = pace

    @rule(overhead=st.sampled_from([0.0, 0.5, 2.0, 10.0, float("inf")]))
    def measure(self, overhead: float) -> None:
        """What a step costs beside its rows is found out."""
        sizes = [Size(model, "denoise", width, 512) for model in (MODEL, OTHER) for width in (256, 512)]
        self.harness.scheduler.overheads = dict.fromkeys(sizes, overhead)
        self.overhead = overhead

    @rule(seconds=st.floats(0.1, 10.0))
    def wait(self, seconds: float) -> None:
        self.harness.now += seconds

    @rule(ticks=st.integers(1, 4))
    def step(self, ticks: int) -> None:
        for _ in range(ticks):
            self.step_once()

    def step_once(self) -> None:
        harness = self.harness
        ready = harness.scheduler.ready
        runnable = {id_ for id_, new in self.live.items() if new.model in ready and id_ not in self.held}
        eldest = self.over_age()
        for id_ in eldest & runnable:
            others = {self.line(other) for other in runnable} - {self.line(id_)}
            self.within.setdefault(id_, 1 + sum(max(map(self.left, self.of(line))) for line in others))
        before = len(harness.finished)
        waiting = {id_: self.rows(id_) * self.unfinished(id_) for id_ in self.live.keys() - self.held}
        rows = sum(waiting.values())
        worth = rows * max(1.0, rows / LONG) * self.overhead if runnable else 0.0
        unfinished = {id_: self.unfinished(id_) for id_ in runnable}
        batch = harness.tick()
        assert (batch is None) == (not runnable), "work is conserved"
        if batch is None:
            return
        assert batch.rows <= 5
        assert batch.rows == sum(picture.rows for picture in batch.pictures)
        assert len({(p.request.request_id, p.index) for p in batch.pictures}) == len(batch.pictures)
        stepped = {picture.request.request_id for picture in batch.pictures}
        assert stepped <= runnable, "an aborted request is in no later step"
        assert {(p.request.model, p.request.params.width) for p in batch.pictures} == {
            (batch.key.model, batch.key.width)
        }
        self.in_turn |= stepped & eldest
        self.within = {id_: steps - 1 for id_, steps in self.within.items() if id_ not in stepped}
        assert all(steps > 0 for steps in self.within.values()), "over age, it is served within the bound"
        left_out = runnable - stepped
        if batch.rows < 5:
            spare = 5 - batch.rows
            fitting = [
                self.rows(id_) * min(unfinished[id_], spare // self.rows(id_))
                for id_ in left_out
                if self.live[id_].model == batch.key.model
                and self.live[id_].params.width == batch.key.width
                and self.rows(id_) <= spare
            ]
            assert not fitting or batch.rows * (batch.rows + max(fitting)) > worth, (
                "rows stay free only where nothing fits, or where those that step would be held up for too little"
            )
        for request_id in harness.finished[before:]:
            done = [steps for (id_, _), steps in harness.steps.items() if id_ == request_id]
            ended = self.live[request_id]
            assert done == [ended.params.num_inference_steps] * len(ended.seeds), "steps sum up"
            # The scheduler hears of the end after the step, when the clock has moved on.
            self.forget(request_id)

    @rule()
    def places(self) -> None:
        """What was shown grows by no more than what others added, and what was added at all; or as steps take longer."""
        loads = {} if OTHER in self.harness.scheduler.ready else {OTHER: self.load}
        places = self.harness.forecast.places(lambda size, rows: self.paces[size] * rows, loads)
        assert set(places) <= self.live.keys()
        assert len(places) == self.harness.scheduler.waiting
        others = {id_: sum(self.added.values()) - self.added[self.share(id_)] for id_ in places}
        added = max(0.0, self.load - self.load_shown)
        added += sum(self.paces[size] * work for size, work in self.work_added.items())
        live = {self.size(new) for new in self.live.values()}
        slower = max((self.paces[size] / self.paces_shown[size] for size in live), default=1.0)
        for id_, (place, eta) in places.items():
            assert eta is not None
            assert 1 <= place <= len(places)
            if id_ in self.shown:
                before, eta_before = self.shown[id_]
                assert place - others[id_] <= before
                assert eta <= eta_before * slower + added + 1e-6
        self.shown = {id_: (place - others[id_], eta or 0.0) for id_, (place, eta) in places.items()}
        self.paces_shown, self.load_shown = dict(self.paces), self.load
        self.work_added.clear()

    def size(self, new: GenerateRequest) -> Size:
        return Size(new.model, "denoise", new.params.width, new.params.height)

    def share(self, request_id: str) -> tuple[Lane, str]:
        return self.live[request_id].lane, self.live[request_id].share_key

    def line(self, request_id: str) -> tuple[Lane, str, str]:
        return *self.share(request_id), self.live[request_id].model

    def of(self, line: tuple[Lane, str, str]) -> list[str]:
        """Who could step, were its model here."""
        return [id_ for id_ in self.live.keys() - self.held if self.line(id_) == line]

    def left(self, request_id: str) -> int:
        """Picture-steps."""
        new = self.live[request_id]
        return sum(
            new.params.num_inference_steps - self.harness.steps[request_id, index]
            for index in range(len(new.seeds))
        )

    def rows(self, request_id: str) -> int:
        """Of each picture."""
        return 2 if self.live[request_id].params.guidance_scale > 1 else 1

    def unfinished(self, request_id: str) -> int:
        new = self.live[request_id]
        steps = new.params.num_inference_steps
        return sum(self.harness.steps[request_id, index] < steps for index in range(len(new.seeds)))

    def over_age(self) -> set[str]:
        eldest = set()
        for line in {self.line(id_) for id_ in self.live.keys() - self.held}:
            first = min(self.of(line), key=lambda id_: (self.live[id_].submitted_at, int(id_)))
            since = max(self.live[first].submitted_at or 0.0, self.turn_ended[line])
            if self.harness.now - since > 15.0:
                eldest.add(first)
        return eldest

    def forget(self, request_id: str) -> None:
        if request_id in self.in_turn:
            self.turn_ended[self.line(request_id)] = self.harness.now
        del self.live[request_id]
        self.held.discard(request_id)
        self.within.pop(request_id, None)
        self.shown.pop(request_id, None)
        if not self.live:
            self.turn_ended.clear()

    @invariant()
    def knows_what_lives(self) -> None:
        scheduler = self.harness.scheduler
        assert len(scheduler) == len(self.live)
        assert all(request_id in scheduler for request_id in self.live)
        free = [new for request_id, new in self.live.items() if request_id not in self.held]
        assert scheduler.has_work == any(new.model in scheduler.ready for new in free)


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
