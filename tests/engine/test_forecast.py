"""What is foretold of the queue, and how near it comes; how far it may move is in test_scheduler_machine.py."""

from __future__ import annotations

import statistics
from dataclasses import replace
from random import Random

import pytest

from engine import Hires, Lane
from engine.batch import PictureProgress, ScheduledBatch, Size
from engine.forecast import FAR, Forecast, Seconds
from engine.paces import Paces
from engine.scheduler import MAX_WAIT
from engine.step_cost import StepCost
from tests.engine.scheduling import MODEL, OTHER, Harness, request


def per_row(size: Size, rows: float) -> float:
    return 0.5 * rows


def places_only(harness: Harness, seconds: Seconds | None) -> dict[str, int]:
    return {id_: place for id_, (place, _) in harness.forecast.places(seconds).items()}


def test_places_count_the_work_ahead() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("a"), request("b", share_key="2"), request("c", share_key="3"))
    assert harness.forecast.places(None) == {"a": (1, None), "b": (2, None), "c": (3, None)}
    harness.tick()  # "a" has done 4 of its 12 row-steps.
    assert harness.forecast.places(per_row) == {"b": (1, (8 + 12) * 0.5), "c": (2, (8 + 12 + 12) * 0.5)}


def test_who_shares_a_step_is_ready_with_it() -> None:
    harness = Harness(row_budget=8)
    harness.add(request("a"), request("b", share_key="2"))
    assert harness.forecast.places(per_row) == {"a": (1, 12.0), "b": (2, 12.0)}


@pytest.mark.parametrize("seconds", [None, per_row])
def test_the_fast_lane_is_foretold_first_unless_the_relaxed_one_is_over_age(seconds: Seconds | None) -> None:
    harness = Harness(row_budget=4)
    slow = request("slow", lane=Lane.RELAXED, num_inference_steps=1)
    harness.add(slow, request("quick", share_key="2", submitted_at=MAX_WAIT))
    assert places_only(harness, seconds) == {"quick": 1, "slow": 2}
    harness.now = MAX_WAIT + 1
    harness.forecast = Forecast(harness.scheduler)
    assert places_only(harness, seconds) == {"slow": 1, "quick": 2}


def test_the_size_and_the_model_decide_how_long_it_takes() -> None:
    """A large picture counts for as long as large pictures take, not as long as those before it took."""
    harness = Harness(row_budget=4, ready=(MODEL, OTHER))
    harness.add(request("small"), request("large", width=1024, height=1024, share_key="2"))
    paces = {
        Size(MODEL, "denoise", 512, 512): 0.125,
        Size(MODEL, "denoise", 1024, 1024): 2.0,
        Size(OTHER, "denoise", 512, 512): 0.01,
    }
    places = harness.forecast.places(lambda size, rows: paces[size] * rows)
    assert places == {"small": (1, 1.5), "large": (2, 25.5)}


def test_both_sizes_of_a_picture_that_is_drawn_over_count() -> None:
    harness = Harness(row_budget=4)
    new = request("a", width=1024, height=1024, num_inference_steps=4)
    harness.add(replace(new, params=replace(new.params, hires=Hires(width=512, height=512))))
    paces = {Size(MODEL, "denoise", 512, 512): 0.125, Size(MODEL, "denoise", 1024, 1024): 2.0}
    places = harness.forecast.places(lambda size, rows: paces[size] * rows)
    assert places == {"a": (1, 4 * 4 * 0.125 + 4 * 2 * 2.0)}


def test_a_model_that_is_being_loaded_is_waited_for() -> None:
    harness = Harness(row_budget=4, hold=0.0)
    harness.add(request("here", share_key="2", num_inference_steps=9), request("coming", model=OTHER))
    assert harness.forecast.places(per_row, {OTHER: 7.0}) == {"here": (1, 24.0), "coming": (2, 14.0)}
    assert harness.forecast.places(per_row, {OTHER: 90.0}) == {"here": (1, 18.0), "coming": (2, 96.0)}
    unknown = Harness(row_budget=4, hold=0.0)
    unknown.add(request("here", share_key="2", num_inference_steps=9), request("coming", model=OTHER))
    assert unknown.forecast.places(per_row) == {"coming": (1, 6.0), "here": (2, 24.0)}


def test_who_grows_over_age_meanwhile_is_foretold_before_those_in_order() -> None:
    harness = Harness(row_budget=4, max_wait=20.0, quantum=1e9)
    harness.add(*(request(f"a{index}", share_key="a", num_inference_steps=60) for index in range(4)))
    harness.add(request("slow", lane=Lane.RELAXED, share_key="b"))
    harness.tick()
    foretold = harness.forecast.places(lambda size, rows: 1.0)["slow"][1]
    while "slow" not in harness.finished:
        harness.tick()
    assert foretold == pytest.approx(harness.now - 1, abs=10)


def test_a_model_that_comes_when_nobody_is_held_is_foretold_to_step_at_once() -> None:
    harness = Harness(row_budget=4, hold=8.0)
    harness.add(request("here", share_key="2", num_inference_steps=30), request("coming", model=OTHER))
    for _ in range(9):
        harness.tick()
    assert harness.forecast.places(per_row, {OTHER: 1.0})["coming"] == (1, 2.0 + 6.0)


def test_newcomers_who_go_before_others_make_them_wait_as_much_longer() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("first"), request("last", share_key="2", num_inference_steps=9))
    assert harness.forecast.places(per_row)["last"] == (2, 24.0)
    harness.add(request("new", share_key="3"), request("own", share_key="2"))
    assert harness.forecast.places(per_row) == {
        "first": (1, 6.0),
        "new": (2, 12.0),
        "own": (3, 18.0),
        "last": (3, 36.0),
    }, "no later request of its own share moves its place back"


def test_who_turns_out_to_take_more_steps_makes_others_wait_as_much_longer() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("first"), request("last", share_key="2", num_inference_steps=9))
    batch = harness.tick()
    assert batch is not None
    assert harness.forecast.places(per_row)["last"] == (1, 22.0)
    harness.scheduler.update([PictureProgress("first", index, 1, 5, batch.key) for index in (0, 1)])
    assert harness.forecast.places(per_row)["last"] == (1, 26.0)


def test_what_is_shown_grows_only_with_what_was_added_or_takes_longer() -> None:
    """Here fewer rows than before fit into a step, and who shared one has to wait for the other."""
    harness = Harness(row_budget=8)
    harness.add(request("a"), request("b", share_key="2", num_inference_steps=5))

    def shown(step: float) -> float | None:
        return harness.forecast.places(lambda size, rows: step, {OTHER: 50.0})["b"][1]

    assert shown(1.0) == 5
    harness.scheduler.row_budget = 4
    assert shown(1.0) == 5
    assert Forecast(harness.scheduler).places(lambda size, rows: 1.0)["b"][1] == 8
    assert shown(0.5) == 2.5
    assert shown(2.0) == 10
    key = harness.scheduler.requests["a"].pictures[0]
    harness.scheduler.update([PictureProgress("a", 0, 0, 4, key)])
    assert shown(2.0) == 11, "a step more of half the rows of one"


def test_a_flood_is_foretold_to_be_over_age_one_request_at_a_time() -> None:
    harness = Harness(row_budget=4)
    harness.add(*(request(f"a{index}", share_key="a") for index in range(3)))
    harness.now = MAX_WAIT + 1
    harness.add(request("b", share_key="b", submitted_at=harness.now, num_inference_steps=2))
    while "a0" not in harness.finished:
        harness.tick()
    assert places_only(harness, per_row) == {"b": 1, "a1": 2, "a2": 3}


def test_who_is_far_behind_is_reckoned_by_its_work() -> None:
    harness = Harness(row_budget=4)
    harness.add(*(request(str(number), share_key=str(number)) for number in range(FAR + 50)))
    places = harness.forecast.places(per_row)
    assert [place for place, _ in places.values()] == list(range(1, FAR + 51))
    assert [eta for _, eta in places.values()] == pytest.approx([6.0 * place for place, _ in places.values()])


def test_an_id_that_comes_again_is_another_request() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("again"), request("other", share_key="2", num_inference_steps=9))
    assert harness.forecast.places(per_row)["again"] == (1, 6.0)
    harness.scheduler.abort("again")
    harness.add(request("again", num_inference_steps=10))
    assert harness.forecast.places(per_row)["again"] == (2, 38.0)


def test_foretelling_leaves_the_queue_as_it_is() -> None:
    """Two queues, of which only one is asked, step alike."""
    asked, other = (
        Harness(row_budget=6, ready=(MODEL, OTHER), quantum=10.0, max_wait=15.0, hold=4.0) for _ in range(2)
    )
    dice = Random(0)
    for number in range(30):
        new = request(
            str(number),
            share_key=dice.choice("abc"),
            width=dice.choice((256, 512)),
            model=dice.choice((MODEL, OTHER)),
            lane=dice.choice(list(Lane)),
            num_inference_steps=dice.choice((1, 4)),
        )
        asked.add(new)
        other.add(new)
    while len(asked.scheduler):
        asked.forecast.places(per_row)
        assert asked.tick() == other.tick()


COSTS = {
    (MODEL, 512): (0.10, 0.15),
    (MODEL, 1024): (0.20, 0.55),
    (OTHER, 128): (0.010, 0.002),
    (OTHER, 256): (0.012, 0.010),
}
"""Seconds of a step and of each of its rows: of an SDXL on a card, and of a model a hundredth of its size."""


class Device(Harness):
    """It takes as long as `COSTS` says, and tells the scheduler what it saw, as the core does."""

    def __init__(self) -> None:
        super().__init__(row_budget=16, ready=(MODEL, OTHER))
        self.dice = Random(0)
        self.paces = Paces()
        self.costs = {kind: StepCost() for kind in COSTS}
        self.ready: dict[str, float] = {}

    def tick(self) -> ScheduledBatch | None:
        started, before = self.now, len(self.finished)
        batch = super().tick()
        assert batch is not None
        size, rows = batch.key.size, batch.rows
        kind = size.model, size.width
        fixed, per_row = COSTS[kind]
        seconds = (fixed + per_row * rows) * self.dice.uniform(0.95, 1.05)
        self.costs[kind].observe(rows, seconds)
        self.paces.observe(size, rows, seconds)
        self.scheduler.overheads[size] = self.costs[kind].overhead
        self.now = started + seconds
        self.ready |= dict.fromkeys(self.finished[before:], self.now)
        return batch


def test_times_come_true_with_two_models_and_two_sizes() -> None:
    """Of forty requests of six users, while nobody else comes."""
    dice = Random(0)
    device = Device()
    for number, (name, side) in enumerate([*COSTS] * 13):
        if number == 12:
            while len(device.scheduler):
                device.tick()
        device.add(
            request(
                str(number),
                model=name,
                width=side,
                height=side,
                seeds=tuple(range(dice.choice((1, 4)))),
                num_inference_steps=dice.choice((8, 20, 30)),
                share_key=dice.choice("abcdef"),
                submitted_at=device.now,
            )
        )
    foretold: list[tuple[str, float, float]] = []
    while len(device.scheduler):
        if dice.random() < 0.05:
            for id_, (_, eta) in device.forecast.places(device.paces.seconds).items():
                assert eta is not None
                foretold.append((id_, device.now, eta))
        device.tick()
    errors = [abs(eta / (device.ready[id_] - asked) - 1) for id_, asked, eta in foretold]
    assert len(errors) > 200
    assert statistics.mean(errors) < 0.15
    assert statistics.median(errors) < 0.05
