"""Who gets room on the device: arithmetic by Hypothesis, and the core on a device that takes what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import EngineConfig, GenerateRequest, Loading, RequestOutput
from engine.batch import PictureProgress, ScheduledBatch
from engine.core import EngineCore, Output
from engine.executor import Fetched, Loaded, Prepared, StepOutput
from engine.residents import Residents
from tests.engine.scheduling import model, request

SIZES = {"owner/a": 6, "owner/b": 6, "owner/c": 3, "owner/huge": 10}


@given(
    sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10), min_size=1),
    budget=st.integers(1, 20),
    kept=st.sets(st.sampled_from("abcdef")),
    uses=st.lists(st.sampled_from("abcdef")),
    wanted=st.integers(1, 20),
)
def test_as_few_as_it_takes_and_never_more_than_the_budget(
    sizes: dict[str, int], budget: int, kept: set[str], uses: list[str], wanted: int
) -> None:
    residents = Residents(budget)
    for name, size in sizes.items():
        residents.ask(name, size)
        if residents.victims(name, ()) == [] and residents.used + size <= budget:
            residents.give(name)
            residents.loaded(name)
    resident = set(sizes) - set(residents.waiting)
    for name in uses:
        residents.use(name)
    residents.ask("new", wanted)
    victims = residents.victims("new", resident - kept)
    if victims is None:
        assert residents.used - sum(sizes[name] for name in resident - kept) + wanted > budget
        return
    assert set(victims) <= resident - kept
    freed = residents.used - sum(sizes[name] for name in victims)
    assert freed + wanted <= budget or freed == 0
    if freed + wanted <= budget:
        assert all(freed + sizes[name] + wanted > budget for name in victims), "nobody leaves for nothing"


def test_the_least_recently_used_goes() -> None:
    residents = Residents(10)
    for name in "abc":
        residents.ask(name, 3)
        residents.give(name)
        residents.loaded(name)
    residents.use("a")
    residents.ask("new", 4)
    assert residents.victims("new", "abc") == ["b"]
    residents.ask("new", 7)
    assert residents.victims("new", "abc") == ["b", "c"]


def with_room(**sizes: int) -> Residents:
    """Models that are loaded, the least recently used first, in a budget of ten."""
    residents = Residents(10)
    for name, size in sizes.items():
        residents.ask(name, size)
        residents.give(name)
        residents.loaded(name)
    return residents


def test_small_ones_stay_where_a_large_one_has_to_go_anyway() -> None:
    residents = with_room(small=1, large=6, medium=3)
    residents.ask("new", 6)
    assert residents.victims("new", ["small", "large", "medium"]) == ["large"]


def test_what_is_being_loaded_never_goes() -> None:
    residents = with_room(here=4)
    residents.ask("coming", 6)
    residents.give("coming")
    residents.ask("new", 5)
    assert residents.victims("new", ["here", "coming"]) is None
    residents.loaded("coming")
    assert residents.victims("new", ["here", "coming"]) == ["coming"]


class Device:
    """An executor whose models load when the test says so, and whose steps always succeed."""

    sizes: Mapping[str, int] = SIZES

    def __init__(self) -> None:
        self.resident: set[str] = set()
        self.orders: list[tuple[str, str]] = []
        self.under_way: list[Callable[[], None]] = []
        self.steps: Counter[tuple[str, int]] = Counter()
        self.missing: set[str] = set()
        self.needed = 0

    def load(self, name: str, report: Callable[[Any], None]) -> None:
        self.orders.append(("load", name))
        self.under_way.append(lambda: report(Fetched(name, self.sizes[name], 10)))

    def place(self, name: str, report: Callable[[Any], None]) -> None:
        self.orders.append(("place", name))

        def loaded() -> None:
            from engine.errors import ModelUnavailable

            if name in self.missing:
                report(Loaded(name, ModelUnavailable("model_unreadable", "The file is cut short.")))
                return
            self.resident.add(name)
            assert sum(self.sizes[each] for each in self.resident) <= 10, "the budget holds at all times"
            report(Loaded(name, None, model(name.split(" ")[0]), "toy"))

        self.under_way.append(loaded)

    def evict(self, name: str) -> None:
        self.orders.append(("evict", name))
        self.resident.remove(name)

    def prepare(self, *_: Any) -> None: ...

    def shrink(self, most_bytes: int) -> int:
        """The first request's files stay, whatever is asked for."""
        self.orders.append(("shrink", str(most_bytes)))
        return max(most_bytes, self.needed)

    def forget(self, request_id: str) -> None: ...

    def close(self) -> None: ...

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        assert batch.key.model in self.resident
        progress = []
        for picture in batch.pictures:
            key = (picture.request.request_id, picture.index)
            self.steps[key] += 1
            steps = picture.request.params.num_inference_steps
            next_key = None if self.steps[key] == steps else batch.key
            progress.append(PictureProgress(*key, self.steps[key], steps, next_key))
        return StepOutput(progress=tuple(progress))


class Rig:
    """A core, its clock and its device; a step takes a second, a load `load_seconds`."""

    kind_of_device: type[Device] = Device

    def __init__(self, load_seconds: int = 3, **changes: float) -> None:
        self.now = 0.0
        self.device = self.kind_of_device()
        models = {name: replace(model(name), name=name) for name in SIZES}
        self.outputs: list[Output] = []
        self.core = EngineCore(self.device, models, EngineConfig(), self.take, lambda: self.now)
        for name, value in changes.items():
            setattr(self.core.scheduler, name, value)
        self.load_seconds = load_seconds
        self.served: dict[str, float] = {}
        self.ended: dict[str, RequestOutput] = {}

    def take(self, event: Any) -> None:
        self.collect(self.core.on_load(event))

    def collect(self, outputs: list[Output]) -> None:
        self.outputs += outputs
        self.ended |= {id_: item for id_, item in outputs if isinstance(item, RequestOutput)}

    def add(self, *requests: GenerateRequest) -> None:
        for new in requests:
            self.collect(self.core.add(replace(new, submitted_at=self.now)))

    def tick(self) -> None:
        """A second: a step, and what has been loading for long enough arrives."""
        before = dict(self.device.steps)
        self.collect(self.core.step())
        for id_, index in self.device.steps:
            if self.device.steps[id_, index] != before.get((id_, index), 0):
                self.served.setdefault(id_, self.now)
        self.now += 1.0
        if self.load_seconds == 0 or self.now % self.load_seconds == 0:
            under_way, self.device.under_way = self.device.under_way, []
            for arrive in under_way:
                arrive()

    def run(self, ticks: int = 400) -> None:
        for _ in range(ticks):
            self.tick()

    def evictions(self) -> list[str]:
        return [name for what, name in self.device.orders if what == "evict"]


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
