"""The scheduler on a clock that the test turns: budget, fairness, conservation of work, aborts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine import EngineConfig, GenerateRequest, Lane, ModelInfo, SamplingParams
from engine.catalog import Guidance, read_model
from engine.scheduler import MAX_WAIT, PictureProgress, ScheduledBatch, Scheduler

MODEL = "owner/model"
OTHER = "owner/other"


def model(name: str = MODEL) -> ModelInfo:
    """What the catalogue assumes of a hub model that is not in an empty cache."""
    return read_model(name, EngineConfig(cache_dir=Path("nowhere")))


def request(request_id: str, **changes: Any) -> GenerateRequest:
    params = {"num_inference_steps": 3, "guidance_scale": 5.0, "sampler": "ddim", "width": 512, "height": 512}
    params["negative_prompt"] = ""
    params |= {name: changes.pop(name) for name in list(changes) if name in params}
    values = {"prompt": "", "model": MODEL, "seeds": (0, 1), "submitted_at": 0.0} | changes
    return GenerateRequest(request_id=request_id, params=SamplingParams(**params), **values)


class Harness:
    """A scheduler, a clock, and a device that does one step of whatever it is given."""

    def __init__(self, row_budget: int = 8, ready: tuple[str, ...] = (MODEL,)) -> None:
        self.now = 0.0
        self.scheduler = Scheduler(row_budget, lambda: self.now, set(ready))
        self.steps: Counter[tuple[str, int]] = Counter()
        self.finished: list[str] = []

    def add(self, *requests: GenerateRequest) -> None:
        for new in requests:
            self.scheduler.add(new, model(new.model))

    def tick(self) -> ScheduledBatch | None:
        batch = self.scheduler.schedule()
        self.now += 1.0
        if batch is None:
            return None
        progress = []
        for picture in batch.pictures:
            key = (picture.request.request_id, picture.index)
            self.steps[key] += 1
            steps = picture.request.params.num_inference_steps
            done = self.steps[key] == steps
            progress.append(PictureProgress(*key, self.steps[key], steps, None if done else batch.key))
        self.finished += self.scheduler.update(progress)
        return batch

    def ids(self, batch: ScheduledBatch | None) -> list[str]:
        assert batch is not None
        return list(dict.fromkeys(picture.request.request_id for picture in batch.pictures))


def test_first_come_first_served_with_equal_shares() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("a", share_key="1"), request("b", share_key="2"), request("c", share_key="3"))
    while len(harness.scheduler):
        harness.tick()
    assert harness.finished == ["a", "b", "c"]


def test_pictures_of_one_request_may_step_apart_and_late_comers_join() -> None:
    harness = Harness(row_budget=6)
    harness.add(request("a", seeds=(0, 1)))
    assert harness.tick().rows == 4  # type: ignore[union-attr]
    harness.add(request("b", seeds=(0, 1)))
    batch = harness.tick()
    assert batch is not None
    assert [(p.request.request_id, p.index) for p in batch.pictures] == [("a", 0), ("a", 1), ("b", 0)]


def test_only_equal_keys_share_a_step() -> None:
    harness = Harness(row_budget=100, ready=(MODEL, OTHER))
    harness.add(
        request("a"), request("b", width=256), request("c", model=OTHER), request("d", sampler="euler")
    )
    assert harness.ids(harness.tick()) == ["a", "d"]


def test_a_model_that_is_not_loaded_does_not_hold_up_the_others() -> None:
    harness = Harness(ready=())
    harness.add(request("a", model=OTHER), request("b"))
    assert harness.tick() is None
    harness.scheduler.ready.add(MODEL)
    assert harness.ids(harness.tick()) == ["b"]
    assert harness.scheduler.waits_for(OTHER) == ["a"]


def test_fast_goes_before_relaxed_until_relaxed_is_over_age() -> None:
    harness = Harness(row_budget=2)
    harness.add(request("slow", lane=Lane.RELAXED, seeds=(0,)), request("quick", seeds=(0,)))
    assert harness.ids(harness.tick()) == ["quick"]
    harness.now = MAX_WAIT + 1
    assert harness.ids(harness.tick()) == ["slow"]


def test_shares_take_turns_by_weight() -> None:
    """Three requests each of two users: the second user does not wait behind all of the first one's."""
    harness = Harness(row_budget=4)
    harness.add(*(request(f"a{i}", share_key="a") for i in range(3)))
    harness.add(*(request(f"b{i}", share_key="b") for i in range(3)))
    while len(harness.scheduler):
        harness.tick()
    assert harness.finished == ["a0", "b0", "a1", "b1", "a2", "b2"]
    heavy = Harness(row_budget=4)
    heavy.add(*(request(f"a{i}", share_key="a", share_weight=2.0) for i in range(3)))
    heavy.add(*(request(f"b{i}", share_key="b") for i in range(3)))
    while len(heavy.scheduler):
        heavy.tick()
    assert heavy.finished == ["a0", "b0", "a1", "a2", "b1", "b2"]


def test_places_count_the_work_ahead() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("a"), request("b", share_key="2"), request("c", share_key="3"))
    assert harness.scheduler.places(None) == {"a": (1, None), "b": (2, None), "c": (3, None)}
    harness.tick()  # "a" has done 4 of its 12 row-steps.
    assert harness.scheduler.places(0.5) == {"b": (1, (8 + 12) * 0.5), "c": (2, (8 + 12 + 12) * 0.5)}


REQUESTS = st.builds(
    dict,
    seeds=st.integers(1, 4).map(lambda n: tuple(range(n))),
    num_inference_steps=st.integers(1, 5),
    guidance_scale=st.sampled_from([1.0, 7.0]),
    width=st.sampled_from([256, 512]),
    lane=st.sampled_from(Lane),
    share_key=st.sampled_from("abc"),
    share_weight=st.sampled_from([0.5, 1.0, 4.0]),
    model=st.sampled_from([MODEL, OTHER]),
)


@given(st.lists(REQUESTS, min_size=1, max_size=8), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_everybody_finishes_with_exactly_the_steps_asked_for(
    wanted: list[dict[str, Any]], budget: int
) -> None:
    harness = Harness(budget, ready=(MODEL, OTHER))
    requests = [request(str(index), **changes) for index, changes in enumerate(wanted)]
    harness.add(*requests)
    for _ in range(sum(len(r.seeds) * r.params.num_inference_steps for r in requests)):
        if not len(harness.scheduler):
            break
        assert harness.tick() is not None
    assert sorted(harness.finished) == sorted(r.request_id for r in requests)
    expected = {
        (r.request_id, i): r.params.num_inference_steps for r in requests for i in range(len(r.seeds))
    }
    assert harness.steps == expected


@pytest.mark.parametrize(
    ("guidance", "changes", "rows"),
    [
        (Guidance.CLASSIFIER_FREE, {"guidance_scale": 1.0}, 1),
        (Guidance.CLASSIFIER_FREE, {"guidance_scale": 1.5}, 2),
        (Guidance.FROM_ZERO, {"guidance_scale": 0.0}, 1),
        (Guidance.FROM_ZERO, {"guidance_scale": 0.5}, 2),
        (Guidance.EMBEDDED, {"guidance_scale": 3.5}, 1),
        (Guidance.EMBEDDED, {"guidance_scale": 3.5, "negative_prompt": "dog"}, 2),
        (Guidance.NONE, {"guidance_scale": 3.5, "negative_prompt": "dog"}, 1),
    ],
)
def test_rows_of_a_picture(guidance: Guidance, changes: dict[str, Any], rows: int) -> None:
    harness = Harness()
    harness.scheduler.add(request("one", **changes), replace(model(), guidance=guidance))
    batch = harness.scheduler.schedule()
    assert batch is not None
    assert batch.rows == 2 * rows
    assert [picture.rows for picture in batch.pictures] == [rows, rows]


class SchedulerMachine(RuleBasedStateMachine):
    """Requests come, are aborted, and step, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(row_budget=5, ready=(MODEL, OTHER))
        self.live: dict[str, GenerateRequest] = {}
        self.count = 0

    @rule(changes=REQUESTS)
    def add(self, changes: dict[str, Any]) -> None:
        self.count += 1
        new = request(str(self.count), submitted_at=self.harness.now, **changes)
        self.harness.add(new)
        self.live[new.request_id] = new

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(sorted(self.live)))
        assert self.harness.scheduler.abort(victim)
        assert not self.harness.scheduler.abort(victim)
        del self.live[victim]

    @rule()
    def step(self) -> None:
        before = len(self.harness.finished)
        places = self.harness.scheduler.places(1.0)
        batch = self.harness.tick()
        assert (batch is None) == (not self.live), "work is conserved"
        if batch is None:
            return
        assert batch.rows <= 5
        assert batch.rows == sum(picture.rows for picture in batch.pictures)
        assert len(set(batch.pictures)) == len(batch.pictures)
        assert {picture.request.request_id for picture in batch.pictures} <= self.live.keys()
        assert {(p.request.model, p.request.params.width) for p in batch.pictures} == {
            (batch.key.model, batch.key.width)
        }
        assert [place for place, _ in places.values()] == list(range(1, len(places) + 1))
        for request_id in self.harness.finished[before:]:
            del self.live[request_id]

    @precondition(lambda self: self.live)
    @rule()
    def nobody_starves(self) -> None:
        """Whatever else is queued, the oldest request is stepped as soon as it is over age."""
        self.harness.now += MAX_WAIT + 1
        oldest = min(self.live.values(), key=lambda r: (r.submitted_at, int(r.request_id)))
        batch = self.harness.scheduler.schedule()
        assert batch is not None
        assert batch.pictures[0].request.request_id == oldest.request_id

    @invariant()
    def knows_what_lives(self) -> None:
        assert len(self.harness.scheduler) == len(self.live)
        assert all(request_id in self.harness.scheduler for request_id in self.live)


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_importing_the_front_door_loads_no_torch() -> None:
    """In a process of its own, because this one has surely imported it."""
    import subprocess
    import sys

    heavy = "{'torch', 'diffusers', 'transformers'}"
    code = f"import sys, engine, engine.launch; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert EngineConfig().models
