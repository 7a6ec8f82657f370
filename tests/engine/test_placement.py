"""Which models come and go: the core on a device that takes what it is given."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Loading
from engine.batch import ScheduledBatch
from engine.executor import Prepared, StepOutput
from tests.engine.placing import SIZES, Device, Rig
from tests.engine.scheduling import request


def test_a_model_without_work_makes_room_at_once() -> None:
    rig = Rig()
    rig.add(request("1", model="owner/a"))
    rig.run(20)
    assert rig.core.stats().resident_models == ("owner/a",)
    rig.add(request("2", model="owner/c"))
    rig.run(20)
    assert not rig.evictions(), "both fit"
    rig.add(request("3", model="owner/b"))
    rig.run(20)
    assert rig.evictions() == ["owner/a"], "the least recently used, and no more than it takes"
    assert rig.core.stats().resident_models == ("owner/b", "owner/c")
    assert set(rig.ended) == {"1", "2", "3"}


def named(rig: Rig, amount: int) -> None:
    """A request's files have been read, and with them all take so many bytes."""
    rig.collect(rig.core.on_prepared(Prepared(request("gone"), None, amount)))


def test_files_of_earlier_requests_go_before_a_model() -> None:
    rig = Rig()
    rig.add(request("1", model="owner/a"))
    rig.run(20)
    named(rig, 4)
    assert not [order for order in rig.device.orders if order[0] in ("shrink", "evict")], "all fits"
    rig.add(request("2", model="owner/c"))
    rig.run(20)
    assert rig.core.stats().resident_models == ("owner/a", "owner/c")
    assert [order for order in rig.device.orders if order[0] == "shrink"] == [("shrink", "1")], (
        "no more than it takes"
    )
    assert rig.core._placement.residents.used == 10


def test_files_that_are_needed_count_too() -> None:
    rig = Rig()
    rig.add(request("1", model="owner/a"), request("2", model="owner/c"))
    rig.run(20)
    rig.device.needed = 3
    named(rig, 3)
    assert rig.device.orders[-2:] == [("shrink", "1"), ("evict", "owner/a")], (
        "the least recently used, as nobody asks for it"
    )
    assert rig.core._placement.residents.used == 6
    rig.device.needed = 0
    rig.add(request("3", model="owner/b"))
    rig.run(20)
    assert rig.core.stats().resident_models == ("owner/b", "owner/c")


def test_files_stay_where_their_room_would_not_do() -> None:
    rig = Rig()
    rig.add(request("long", model="owner/a", num_inference_steps=30))
    rig.run(10)
    named(rig, 3)
    rig.add(request("short", model="owner/b"))
    rig.run(10)
    assert not [order for order in rig.device.orders if order[0] == "shrink"]
    rig.run(60)
    assert set(rig.ended) == {"long", "short"}


def test_alone_beside_files_that_are_needed_a_model_is_loaded_whatever_it_takes() -> None:
    """Who waits for it may be who needs the files; they would wait for each other for ever."""
    rig = Rig()
    rig.device.needed = 3
    named(rig, 3)
    rig.add(request("1", model="owner/huge"))
    rig.run(20)
    assert rig.ended["1"].error is None
    assert rig.core._placement.residents.used == 13


def test_nobodys_model_goes_for_a_request_that_is_gone() -> None:
    rig = Rig()
    rig.add(request("1", model="owner/a"))
    rig.run(20)
    rig.add(request("gone", model="owner/b"))
    rig.collect(rig.core.abort("gone"))
    rig.run(20)
    assert rig.core.stats().resident_models == ("owner/a",)
    assert rig.core.stats().loading is None
    rig.add(request("2", model="owner/b"))
    rig.run(20)
    assert rig.ended["2"].error is None, "it can be asked for again"
    assert rig.evictions() == ["owner/a"]


def test_loading_is_shown_to_those_whose_model_has_to_leave_and_they_go_on_after() -> None:
    rig = Rig(hold=5.0)
    rig.add(request("long", model="owner/a", num_inference_steps=60, share_key="x"))
    rig.run(10)
    rig.add(request("short", model="owner/b", num_inference_steps=2, share_key="y"))
    done = rig.device.steps["long", 0]
    rig.run(100)
    assert 0 < done < rig.device.steps["long", 0]
    assert rig.evictions() == ["owner/a", "owner/b"]
    assert rig.device.steps["long", 0] == 60, "no step is done twice"
    told = [item for id_, item in rig.outputs if id_ == "long" and isinstance(item, Loading)]
    assert any(item.model == "owner/a" for item in told)
    assert set(rig.ended) == {"long", "short"}


def test_two_models_that_do_not_fit_together_take_turns_and_do_not_thrash() -> None:
    rig = Rig(hold=20.0, max_wait=60.0, quantum=4.0)
    for tick in range(600):
        for name in ("owner/a", "owner/b"):
            if tick % 5 == 0:
                rig.add(
                    request(
                        f"{name} {tick}", model=name, num_inference_steps=12, share_key=f"{name} {tick % 3}"
                    )
                )
        rig.tick()
    switches = len(rig.evictions())
    assert switches >= 4, "both are served"
    # Every switch is followed by a load of at most six seconds and a hold of twenty.
    assert switches <= 600 / 20 + 1


@pytest.mark.parametrize("load_seconds", [3, 30])
def test_what_others_had_to_go_for_stays_for_the_hold_once_it_is_here(load_seconds: int) -> None:
    """Everybody is over age at once and asks for the other model than the one before, as long as the last load was."""
    rig = Rig(load_seconds, hold=20.0, max_wait=0.0)
    models = ("owner/a", "owner/b")
    for number in range(60):
        rig.add(request(str(number), model=models[number % 2], num_inference_steps=12, share_key=str(number)))
    here: dict[str, float] = {}
    stays = []
    for _ in range(500):
        rig.tick()
        resident = rig.core.stats().resident_models
        stays += [rig.now - since for name, since in here.items() if name not in resident]
        here = {name: here.get(name, rig.now) for name in resident}
    first, *others = stays
    assert len(others) >= 4, "both are served"
    assert first < 20.0, "nobody had to go for it"
    assert all(20.0 <= stay <= 20.0 + 12 + 2 for stay in others)


def test_whoever_waits_is_told_every_other_second_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody comes or goes, and the ETA falls with every step."""
    rig = Rig(load_seconds=0)

    def takes_a_second(batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        rig.now += 1.0
        return Device.execute(rig.device, batch, previews)

    monkeypatch.setattr(rig.device, "execute", takes_a_second)
    monkeypatch.setattr("engine.core.time", SimpleNamespace(perf_counter=lambda: rig.now))
    for id_ in ("long", "waits"):
        rig.add(request(id_, model="owner/a", seeds=(1, 2, 3, 4), num_inference_steps=60))
    rig.run(10)
    etas = []
    for _ in range(45):
        rig.tick()
        etas += [item.eta for id_, item in rig.core.queue_updates() if id_ == "waits"]
    assert len(etas) >= 3
    assert all(later < earlier for earlier, later in pairwise(etas))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_everybody_is_served_within_a_bound(data: st.DataObject) -> None:
    """A flood for one model; a request for another is begun once it is over age, those older are through, the hold has
    passed and the loads are done.
    """
    names = ["owner/a", "owner/b", "owner/c", "owner/huge"]
    flooded = data.draw(st.sampled_from(names))
    wanted = data.draw(st.sampled_from([name for name in names if name != flooded]))
    at = data.draw(st.integers(0, 60))
    steps = data.draw(st.integers(1, 6))
    shares = data.draw(st.integers(1, 3))
    rig = Rig(load_seconds=data.draw(st.integers(0, 4)), hold=10.0, max_wait=30.0, quantum=10.0)
    for tick in range(300):
        rig.add(request(f"{tick}", model=flooded, num_inference_steps=steps, share_key=f"{tick % shares}"))
        if tick == at:
            rig.add(request("other", model=wanted, share_key="other"))
        rig.tick()
    older_over_age = shares * steps * 2
    assert rig.served["other"] - at <= 30 + 10 + older_over_age + 4 * 4 + 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(sorted(SIZES)), st.integers(1, 8), st.booleans()),
        max_size=12,
    ),
    st.sets(st.sampled_from(sorted(SIZES)), max_size=1),
    st.integers(0, 4),
)
def test_whatever_comes_everybody_ends_and_the_budget_holds(
    arrivals: list[tuple[int, str, int, bool]], missing: set[str], load_seconds: int
) -> None:
    rig = Rig(load_seconds=load_seconds, hold=5.0, max_wait=20.0)
    rig.device.missing = missing
    for tick in range(500):
        for index, (at, name, steps, aborted) in enumerate(arrivals):
            if at == tick:
                rig.add(request(str(index), model=name, num_inference_steps=steps, share_key=str(index % 2)))
            if aborted and at + 3 == tick:
                rig.collect(rig.core.abort(str(index)))
        rig.tick()
        assert set(rig.core.stats().resident_models) <= rig.device.resident
    assert len(rig.ended) == len(arrivals)
    for index, (_, name, _, aborted) in enumerate(arrivals):
        if name in missing and not aborted:
            error = rig.ended[str(index)].error
            assert error is not None
            assert error.code == "model_unreadable"


def test_a_load_that_failed_keeps_nobody_from_taking_turns() -> None:
    rig = Rig(hold=5.0)
    rig.device.missing = {"owner/c"}
    rig.add(request("bad", model="owner/c"))
    rig.run(20)
    rig.add(request("long", model="owner/a", num_inference_steps=300, share_key="x"))
    rig.run(20)
    rig.add(request("short", model="owner/b", share_key="y"))
    rig.run(40)
    assert "short" in rig.ended


@pytest.mark.parametrize("mended", [True, False])
def test_a_load_that_failed_gives_its_room_back(mended: bool) -> None:
    rig = Rig()
    rig.device.missing = {"owner/a"}
    rig.add(request("1", model="owner/a"))
    rig.run(20)
    assert rig.ended["1"].error is not None
    if mended:
        rig.device.missing = set()
        rig.add(request("2", model="owner/a"))
        rig.run(20)
        assert rig.ended["2"].error is None
    rig.add(request("3", model="owner/huge"))
    rig.run(20)
    assert rig.ended["3"].error is None
