"""Pictures that go on with another copy of their model: nobody waits for them, and they are not lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batch import PictureProgress, ScheduledBatch
from engine.executor import StepOutput
from tests.engine.placing import SIZES, Device, Rig
from tests.engine.scheduling import request

COPY = "{} in float32"
COPIES = {COPY.format("owner/a"): 10, COPY.format("owner/c"): 6}


class Spoiling(Device):
    """Pictures of the requests in `spoilt` come out as no numbers, and are made once more with a copy."""

    sizes = SIZES | COPIES

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: set[str] = set()
        self.rows: Counter[str] = Counter()

    def execute(self, batch: ScheduledBatch, previews: frozenset[str]) -> StepOutput:
        output = super().execute(batch, previews)
        progress = []
        for picture, report in zip(batch.pictures, output.progress, strict=True):
            self.rows[picture.request.request_id] += picture.rows
            spoilt = report.request_id in self.spoilt and batch.key.model == picture.request.model
            if report.next_key is None and spoilt:
                self.steps[report.request_id, report.index] = 0
                key = replace(batch.key, model=COPY.format(batch.key.model))
                report = PictureProgress(report.request_id, report.index, 0, report.steps, key)
            progress.append(report)
        return replace(output, progress=tuple(progress))


class SpoilingRig(Rig):
    kind_of_device = Spoiling
    device: Spoiling


def test_those_who_wait_take_nobodys_rows() -> None:
    """Four guided pictures wait; with a budget of eight rows nothing would be left for another share's grid."""
    rig = SpoilingRig(load_seconds=50)
    rig.device.spoilt = {"bad"}
    rig.add(request("bad", model="owner/c", seeds=(1, 2, 3, 4), share_key="x"))
    rig.run(104)
    done = rig.device.rows["bad"]
    rig.add(request("grid", model="owner/c", seeds=(1, 2, 3, 4), num_inference_steps=9, share_key="y"))
    rig.run(9)
    assert "grid" in rig.ended, "every step was the grid's"
    assert rig.device.rows["bad"] == done == 4 * 2 * 3
    assert rig.ended.keys() == {"grid"}
    assert not rig.core.has_work
    rig.run(200)
    assert rig.ended["bad"].error is None
    assert rig.device.rows["bad"] == 2 * done, "no step is done for nothing"
    assert rig.core.stats().resident_models == ("owner/c",), "the copy goes when nobody needs it"


def test_the_others_of_a_grid_go_on() -> None:
    rig = SpoilingRig(load_seconds=20)
    rig.add(request("grid", model="owner/c", seeds=(1, 2), num_inference_steps=8))
    while not rig.device.steps["grid", 0]:
        rig.tick()
    rig.device.steps["grid", 0] = 7  # One of the two is about to come out.
    rig.device.spoilt = {"grid"}
    rig.tick()
    rig.device.spoilt = set()
    rig.tick()
    assert rig.device.steps["grid", 0] == 0
    assert rig.device.steps["grid", 1] == 3
    rig.run(60)
    assert rig.ended["grid"].error is None


def test_an_idle_model_makes_room_for_a_copy() -> None:
    rig = SpoilingRig()
    rig.device.spoilt = {"bad"}
    rig.add(request("other", model="owner/a"))
    rig.run(20)
    rig.add(request("bad", model="owner/c"))
    rig.run(40)
    assert rig.evictions() == ["owner/a", COPY.format("owner/c")]
    assert rig.ended["bad"].error is None


def test_a_copy_and_its_model_take_turns_where_both_do_not_fit() -> None:
    rig = SpoilingRig(hold=5.0, max_wait=30.0, quantum=4.0)
    rig.device.spoilt = {str(tick) for tick in range(0, 200, 30)}
    for tick in range(200):
        if tick % 10 == 0:
            rig.add(request(str(tick), model="owner/a", share_key=str(tick)))
        rig.tick()
    rig.run(300)
    assert len(rig.ended) == 20
    assert all(output.error is None for output in rig.ended.values())
    assert COPY.format("owner/a") in rig.evictions()
    assert "owner/a" in rig.evictions()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["owner/a", "owner/b", "owner/c"]),
            st.integers(1, 6),
            st.none() | st.integers(0, 30),
            st.booleans(),
        ),
        max_size=10,
    ),
    st.sets(st.sampled_from(sorted(COPIES)), max_size=1),
    st.integers(0, 4),
)
def test_whatever_comes_everybody_ends_and_copies_go(
    arrivals: list[tuple[int, str, int, int | None, bool]], missing: set[str], load_seconds: int
) -> None:
    rig = SpoilingRig(load_seconds=load_seconds, hold=5.0, max_wait=20.0)
    rig.device.missing = missing
    for tick in range(600):
        for index, (at, name, steps, aborted, spoilt) in enumerate(arrivals):
            if at == tick:
                if spoilt and name != "owner/b":
                    rig.device.spoilt.add(str(index))
                rig.add(request(str(index), model=name, num_inference_steps=steps, share_key=str(index % 2)))
            if aborted is not None and at + aborted == tick:
                rig.collect(rig.core.abort(str(index)))
        had_work = rig.core.has_work
        before = sum(rig.device.rows.values())
        rig.tick()
        assert not had_work or sum(rig.device.rows.values()) > before, "work is conserved"
    assert len(rig.ended) == len(arrivals)
    assert not COPIES.keys() & rig.device.resident
    assert rig.device.resident == set(rig.core.stats().resident_models)
