"""What requests name stays while they run, and afterwards as long as there is room."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.worker.prepared_weights import PreparedWeights
from engine.worker.request_state import NamedFiles
from tests.engine.bench import Bench, make_request
from tests.engine.worker.lora.files import write_lora
from tests.engine.worker.test_residency import Rig, size_of


class Content:
    """As many bytes as it says."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


def named(*contents: Any) -> NamedFiles:
    return NamedFiles(loras=tuple((content, 1.0) for content in contents))


def test_the_longest_unused_goes_first_and_never_what_is_needed() -> None:
    weights = PreparedWeights()
    old, used, new = Content(3), Content(4), Content(5)
    weights.put(make_request("m", "1"), named(old, used))
    weights.put(make_request("m", "2"), named(new))
    weights.put(make_request("m", "3"), named(used))
    assert weights.nbytes == 12, "once, however many hold it"
    weights.forget("1")
    assert weights.shrink(12) == 12
    assert weights.shrink(11) == 9, "the old one"
    weights.forget("2")
    assert weights.shrink(0) == 4, "the third request needs it"
    weights.forget("3")
    assert weights.nbytes == 4
    assert weights.shrink(0) == 0


def test_what_a_model_leaves_behind_is_counted_as_long_as_a_request_holds_it() -> None:
    weights = PreparedWeights()
    weights.put(make_request("m", "1"), named(Content(3)))
    weights.put(make_request("m", "2"), named(Content(4)))
    weights.put(make_request("other", "3"), named(Content(5)))
    weights.forget("1")
    weights.leave("m")
    assert weights.nbytes == 9
    weights.forget("2")
    assert weights.nbytes == 5


def test_a_namesake_has_its_own() -> None:
    weights = PreparedWeights()
    first, second = make_request("m", "1"), make_request("m", "1", prompt="another")
    weights.put(first, named())
    assert weights.get(first) is not None
    assert weights.get(second) is None
    assert weights.get(make_request("m in float32", "1")) is None


@given(
    st.lists(st.tuples(st.sampled_from(["put", "forget", "leave", "shrink"]), st.integers(0, 5)), max_size=30)
)
def test_the_bytes_that_are_told_are_those_that_are_held(events: list[tuple[str, int]]) -> None:
    weights = PreparedWeights()
    alive: dict[int, weakref.ref[Content]] = {}
    running: set[int] = set()
    for index, (what, number) in enumerate(events):
        if what == "put":
            content = Content(number)
            alive[index] = weakref.ref(content)
            weights.put(make_request(f"model {number % 2}", str(number)), named(content))
            del content
            running.add(number)
        elif what == "forget":
            weights.forget(str(number))
            running.discard(number)
        elif what == "leave":
            weights.leave(f"model {number % 2}")
        else:
            assert weights.shrink(number) == weights.nbytes
        assert weights.nbytes == sum(ref().nbytes for ref in alive.values() if ref() is not None)  # type: ignore[union-attr]
        assert len(weights) == len(running)


@pytest.fixture(scope="module")
def loras(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("loras")
    return [
        write_lora(folder / f"{name}.safetensors", tiny_model, seed=seed) for seed, name in enumerate("abc")
    ]


def test_all_that_requests_name_keeps_within_the_memory_budget(tiny_model: Path, loras: list[Path]) -> None:
    probe = Bench(tiny_model, dtype="float32")
    probe.run(make_request(tiny_model, adapters=((loras[0], 1.0),)))
    one = probe.worker.named_bytes
    assert one > 0
    budget = size_of(tiny_model) + 2 * one
    rig = Rig(tiny_model, memory_budget=budget)
    for number in (0, 1, 2, 1, 0):
        request = make_request(tiny_model, f"{len(rig.ended)}", adapters=((loras[number], 1.0),), seeds=(5,))
        rig.add(request)
        rig.run()
        assert rig.core._placement.residents.used <= budget
        assert rig.workers[0].named_bytes == min(len(rig.ended), 2) * one
    assert np.array_equal(rig.pixels["1", 0], rig.pixels["3", 0])
    assert np.array_equal(rig.pixels["0", 0], rig.pixels["4", 0]), "it was read again"
