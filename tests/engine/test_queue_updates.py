"""What those who wait are told: places, and seconds at the speed that the core saw of each model."""

from __future__ import annotations

import pytest

from engine import Loading, Queued
from engine.batch import ScheduledBatch
from engine.executor import StepOutput
from tests.engine.placing import Device, Rig
from tests.engine.scheduling import request

SECONDS = {"owner/a": 2.0, "owner/c": 0.125}


class Stopwatch(Device):
    """Steps of two rows take as long as `SECONDS` says, on a watch of their own."""

    watch = 0.0

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        self.watch += SECONDS[batch.key.model] * batch.rows / 2
        return super().execute(batch, previews)


class TimedRig(Rig):
    kind_of_device = Stopwatch


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> TimedRig:
    """Both models have been loaded and used."""
    rig = TimedRig(row_budget=2)
    monkeypatch.setattr("time.perf_counter", lambda: getattr(rig.device, "watch", 0.0))
    rig.add(*(request(name, model=name, seeds=(0,), num_inference_steps=5) for name in SECONDS))
    rig.run(20)
    assert set(rig.ended) == set(SECONDS)
    return rig


def queued(rig: Rig) -> dict[str, Queued]:
    return {id_: item for id_, item in rig.core.queue_updates() if isinstance(item, Queued)}


def test_every_request_is_told_the_time_of_its_own_model(rig: TimedRig) -> None:
    one = {"seeds": (0,), "num_inference_steps": 5}
    rig.add(request("quick", model="owner/c", share_key="1", **one))
    assert queued(rig) == {"quick": Queued(1, 5 * 0.125)}
    rig.add(request("slow", model="owner/a", share_key="2", **one))
    rig.add(request("slower", model="owner/a", share_key="3", **one))
    assert queued(rig) == {"slow": Queued(2, 5 * 0.125 + 10.0), "slower": Queued(3, 5 * 0.125 + 20.0)}


def test_nobody_is_told_again_what_has_hardly_changed(rig: TimedRig) -> None:
    rig.add(*(request(name, model="owner/a", share_key=name, num_inference_steps=5) for name in "ab"))
    assert set(queued(rig)) == {"a", "b"}
    assert queued(rig) == {}
    rig.tick()
    assert queued(rig) == {"b": Queued(1, 38.0)}


def test_the_time_of_a_load_is_remembered(rig: TimedRig) -> None:
    assert rig.core._paces.load_left("owner/a", rig.now) == rig.load_seconds
    assert rig.core._paces.load_left("owner/b", rig.now) is None


def test_places_are_told_again_once_the_model_is_back() -> None:
    """Their model gives way to another and comes back; nobody's place has changed by that."""
    rig = Rig(row_budget=2)
    rig.add(request("a", model="owner/a", share_key="x", seeds=(0,), num_inference_steps=400))
    rig.run(6)
    patient = {"model": "owner/a", "share_key": "x", "seeds": (0,), "num_inference_steps": 900}
    rig.add(*(request(name, **patient) for name in "bcde"))
    rig.collect(rig.core.queue_updates())
    rig.add(request("other", model="owner/b", share_key="y", seeds=(0,), num_inference_steps=15))
    while "other" not in rig.ended or "owner/a" not in rig.core.scheduler.ready:
        rig.tick()
        rig.collect(rig.core.queue_updates())
    rig.now += 2.0
    rig.collect(rig.core.queue_updates())
    told = [type(item) for id_, item in rig.outputs if id_ == "e" and isinstance(item, (Loading, Queued))]
    assert Loading in told
    assert not rig.core.scheduler.requests["e"].started
    assert told[-1] is Queued
