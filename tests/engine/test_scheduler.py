"""Whose turn it is, on a clock that the test turns: fairness, age, models, conservation of work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Lane
from engine.scheduler import MAX_WAIT
from tests.engine.scheduling import MODEL, OTHER, REQUESTS, Harness, request


def test_first_come_first_served_with_equal_shares() -> None:
    harness = Harness(row_budget=4)
    harness.add(request("a", share_key="1"), request("b", share_key="2"), request("c", share_key="3"))
    while len(harness.scheduler):
        harness.tick()
    assert harness.finished == ["a", "b", "c"]


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
    harness = Harness(row_budget=4, quantum=12)
    harness.add(*(request(f"a{i}", share_key="a") for i in range(3)))
    harness.add(*(request(f"b{i}", share_key="b") for i in range(3)))
    while len(harness.scheduler):
        harness.tick()
    assert harness.finished == ["a0", "b0", "a1", "b1", "a2", "b2"]
    heavy = Harness(row_budget=4, quantum=12)
    heavy.add(*(request(f"a{i}", share_key="a", share_weight=2.0) for i in range(3)))
    heavy.add(*(request(f"b{i}", share_key="b") for i in range(3)))
    while len(heavy.scheduler):
        heavy.tick()
    assert heavy.finished == ["a0", "a1", "b0", "a2", "b1", "b2"]


def test_a_single_picture_passes_a_grid_that_runs() -> None:
    harness = Harness(row_budget=2)
    harness.add(request("grid", seeds=(0, 1, 2, 3), share_key="a"))
    harness.tick()
    harness.add(request("single", seeds=(0,), share_key="b"))
    assert harness.ids(harness.tick()) == ["single"]


def test_idling_earns_no_credit() -> None:
    """Who comes back after the others worked for long gains two quanta on them at most, however long he was away."""
    harness = Harness(row_budget=2, quantum=6)
    harness.add(request("early", share_key="b", num_inference_steps=1, seeds=(0,)))
    harness.add(*(request(f"a{i}", share_key="a") for i in range(30)))
    for _ in range(60):
        harness.tick()
    harness.service.clear()
    harness.add(*(request(f"b{i}", share_key="b") for i in range(30)))
    for _ in range(60):
        harness.tick()
        assert harness.service["b"] - harness.service["a"] <= 2 * 6 + 2


def test_who_owes_when_leaving_owes_when_coming_back() -> None:
    """However many others have come meanwhile, of whom most have nothing waiting."""
    harness = Harness(row_budget=8, quantum=1.0)
    harness.add(request("waits", model=OTHER, share_key="w"))
    harness.add(request("first", share_key="debtor", seeds=(0, 1, 2, 3), num_inference_steps=1))
    harness.tick()
    assert harness.finished == ["first"]
    for number in range(2000):
        harness.add(request(str(number), model=OTHER, share_key=str(number)))
    harness.add(request("again", share_key="debtor"), request("new", share_key="new"))
    assert harness.ids(harness.tick()) == ["new", "again"]


def test_an_empty_queue_forgets_who_owes() -> None:
    harness = Harness(row_budget=4, quantum=1.0)
    harness.add(request("first", share_key="a"))
    while len(harness.scheduler):
        harness.tick()
    harness.add(request("again", share_key="a"), request("new", share_key="b"))
    assert harness.ids(harness.tick()) == ["again"]


def test_accounts_of_who_has_left_do_not_pile_up() -> None:
    """What they owe is forgotten once others have been given more."""
    harness = Harness(row_budget=4, quantum=1.0)
    harness.add(request("waits", model=OTHER, share_key="w"))
    for number in range(2000):
        new = {"submitted_at": harness.now, "seeds": (0,), "num_inference_steps": 2}
        harness.add(request(str(number), share_key=str(number), **new))
        while harness.tick() is not None:
            pass
    assert len(harness.scheduler._shares) <= 1024


def test_a_flood_is_over_age_one_request_at_a_time() -> None:
    """Who asked for much long ago does not have all of it served before everybody else."""
    harness = Harness(row_budget=4)
    harness.add(*(request(f"a{i}", share_key="a") for i in range(3)))
    harness.now = MAX_WAIT + 1
    harness.add(request("b", share_key="b", submitted_at=harness.now, num_inference_steps=2))
    while len(harness.scheduler):
        harness.tick()
    assert harness.finished == ["a0", "b", "a1", "a2"]


@pytest.mark.parametrize("why", ["its model is not here", "its files are being read"])
def test_who_cannot_step_keeps_no_other_of_its_share_from_growing_over_age(why: str) -> None:
    harness = Harness(row_budget=4, max_wait=15.0)
    missing = why == "its model is not here"
    harness.add(request("first", model=OTHER if missing else MODEL, share_key="x", lane=Lane.RELAXED))
    if not missing:
        harness.scheduler.hold_back("first", MODEL)
    harness.add(request("second", share_key="x", lane=Lane.RELAXED))
    for tick in range(30):
        harness.add(request(f"other{tick}", share_key=f"y{tick % 2}", submitted_at=harness.now))
        harness.tick()
    assert harness.steps["second", 0]


def test_an_elder_request_that_is_released_goes_before_the_younger_ones_of_its_share() -> None:
    harness = Harness(row_budget=4, max_wait=15.0)
    harness.add(request("first", share_key="x", num_inference_steps=9), request("second", share_key="x"))
    harness.scheduler.hold_back("first", MODEL)
    harness.add(request("other", share_key="y", seeds=(0,), num_inference_steps=1))
    harness.now = 16.0
    assert harness.ids(harness.tick()) == ["second"]
    harness.scheduler.release("first", MODEL)
    assert harness.ids(harness.tick()) == ["first"]


def test_who_is_over_age_stays_so_where_a_step_left_it_out() -> None:
    """Where memory runs out, a step does less than was scheduled, and says nothing of the rest."""
    harness = Harness(row_budget=2, max_wait=15.0)
    harness.add(request("old", share_key="x", seeds=(0,), num_inference_steps=9))
    harness.now = 16.0
    harness.add(request("new", share_key="y", seeds=(0,), num_inference_steps=1, submitted_at=16.0))
    for _ in range(3):
        assert harness.ids(harness.scheduler.schedule()) == ["old"]


def test_models_are_grouped_until_the_hold_has_passed_except_for_over_age_requests() -> None:
    harness = Harness(row_budget=4, ready=(MODEL, OTHER), hold=5.0, max_wait=50.0)
    harness.add(*(request(f"a{i}", num_inference_steps=20, share_key="a") for i in range(9)))
    harness.add(request("b", model=OTHER, share_key="b", num_inference_steps=2, lane=Lane.RELAXED))
    harness.add(request("c", model=OTHER, share_key="c", num_inference_steps=1))
    assert harness.ids(harness.tick()) == [
        "c"
    ]  # The least work; its model keeps its hold, but has relaxed work.
    assert [harness.ids(harness.tick()) for _ in range(3)] == [["b"], ["b"], ["a0"]]
    harness.add(request("d", model=OTHER, share_key="d", num_inference_steps=1))
    held = [harness.ids(harness.tick()) for _ in range(5)]
    assert held == [["a0"]] * 4 + [["d"]]
    assert harness.ids(harness.tick()) == ["a0"], "the other model has no work left"
    old = request("e", model=OTHER, share_key="e", submitted_at=harness.now - 51)
    harness.add(old)
    assert harness.ids(harness.tick()) == ["e"], "over age, it does not wait for the hold to pass"


def test_another_model_is_preferred_only_where_its_requests_go_before_those_that_can_step() -> None:
    harness = Harness(row_budget=4, max_wait=15.0)
    harness.add(request("here", share_key="1"), request("elsewhere", model=OTHER, share_key="2"))
    assert harness.scheduler.preferred([OTHER]) is None
    harness.now = 16.0
    harness.add(request("single", share_key="3", model=OTHER, seeds=(0,), submitted_at=16.0))
    assert harness.scheduler.preferred([OTHER]) is None, "the elder of two that are over age"
    harness.scheduler.abort("here")
    assert harness.scheduler.preferred([OTHER]) == OTHER
    harness.scheduler.abort("elsewhere")
    harness.add(request("late", share_key="4", submitted_at=16.0))
    assert harness.scheduler.preferred([OTHER]) == OTHER, "less work is left of it"
    assert harness.scheduler.preferred(["owner/third"]) is None


def test_who_is_held_back_still_wants_its_model() -> None:
    harness = Harness()
    harness.add(request("a"))
    harness.scheduler.hold_back("a", MODEL)
    assert not harness.scheduler.has_work
    assert harness.scheduler.wants(MODEL)
    assert harness.scheduler.waits_for(MODEL) == ["a"]


def test_who_has_begun_waits_for_its_model_too() -> None:
    """A model may leave to make room while its requests are half done."""
    harness = Harness(row_budget=4)
    harness.add(request("a"), request("b", share_key="2"))
    harness.tick()
    harness.scheduler.ready.clear()
    assert harness.scheduler.waits_for(MODEL) == ["a", "b"]
    assert harness.scheduler.wants(MODEL)


def test_places_have_to_be_looked_at_again_when_somebody_comes_begins_or_ends() -> None:
    harness = Harness(row_budget=2)
    scheduler = harness.scheduler
    seen = [scheduler.changes]
    for event in (
        lambda: harness.add(request("a", seeds=(0,), num_inference_steps=2), request("b", share_key="2")),
        harness.tick,
        lambda: scheduler.abort("b"),
    ):
        event()
        assert scheduler.changes > seen[-1]
        seen.append(scheduler.changes)
    harness.tick()
    assert harness.finished == ["a"]
    assert scheduler.changes > seen[-1]


@given(st.lists(REQUESTS, min_size=1, max_size=12), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_a_twin_steps_alike_and_changes_nothing(wanted: list[dict[str, Any]], ticks: int) -> None:
    harness = Harness(5, ready=(MODEL, OTHER), quantum=10.0, max_wait=10.0, hold=4.0)
    harness.add(*(request(str(index), **changes) for index, changes in enumerate(wanted)))
    for _ in range(ticks):
        harness.tick()
    twin = Harness(5)
    twin.now, twin.steps = harness.now, harness.steps.copy()
    twin.scheduler = harness.scheduler.twin(lambda: twin.now, list(harness.scheduler.requests))
    assert twin.scheduler.waiting == harness.scheduler.waiting
    while len(twin.scheduler):
        ahead = [twin.tick() for _ in range(3)]
        assert ahead == [harness.tick() for _ in range(3)]


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


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_backlogged_shares_are_served_by_weight(weights: list[float], sizes: list[tuple[int, int]]) -> None:
    """At every moment their services ÷ weight differ by no more than a quantum and one step."""
    harness = Harness(row_budget=4, quantum=20.0, max_wait=1e9)
    for share, weight in enumerate(weights):
        for index in range(60):
            pictures, steps = sizes[(share + index) % len(sizes)]
            changes = {"seeds": tuple(range(pictures)), "num_inference_steps": steps}
            harness.add(request(f"{share}-{index}", share_key=str(share), share_weight=weight, **changes))
    for _ in range(60):
        harness.tick()
        services = [harness.service[str(share)] / weight for share, weight in enumerate(weights)]
        if any(f"{share}-59" in harness.finished for share in range(len(weights))):
            break
        assert max(services) - min(services) <= 20.0 + 4 / min(weights) + 1e-9
