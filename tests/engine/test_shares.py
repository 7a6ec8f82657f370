"""The heap of a share: always the least, whatever was put, changed and dropped before."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.shares import LazyHeap


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "drop", "first"]), st.integers(0, 5), st.integers(0, 9)),
        max_size=200,
    )
)
@settings(deadline=None)
def test_the_first_is_the_least(operations: list[tuple[str, int, int]]) -> None:
    heap: LazyHeap[int] = LazyHeap()
    known: dict[int, tuple[float, ...]] = {}
    for what, member, key in operations:
        if what == "put":
            known[member] = (float(key), float(member))
            heap.put(member, known[member])
        elif what == "drop":
            known.pop(member, None)
            heap.drop(member)
        check(heap, known)


def test_it_is_cleared_of_what_no_longer_holds() -> None:
    """Keys that change without the least ever surfacing would pile up; what is left has to be a heap again."""
    heap: LazyHeap[int] = LazyHeap()
    random = Random(0)
    known: dict[int, tuple[float, ...]] = {}
    for turn in range(2000):
        member = random.randrange(30)
        known[member] = (random.random(), float(member))
        heap.put(member, known[member])
        assert len(heap._heap) <= 2 * len(known) + 17
        if turn % 3 == 0:
            check(heap, known)


def check(heap: LazyHeap[int], known: dict[int, tuple[float, ...]]) -> None:
    assert len(heap) == len(known)
    least = min(((key, member) for member, key in known.items()), default=None)
    assert heap.first() == least
