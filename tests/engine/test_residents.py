"""Who gets room on the device: arithmetic, much of it by Hypothesis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.residents import Residents


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
