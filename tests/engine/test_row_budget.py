"""The knee is found by working, on devices whose rows cost what the test says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.row_budget import CALM, MAX_ROWS, RowBudget


def work(
    budget: RowBudget, seconds: Callable[[int], float], *, steps: int = 200, holds: int = MAX_ROWS
) -> None:
    """Step a device with a full queue; more rows than it holds are halved, as the model runner does."""
    for _ in range(steps):
        rows = budget.rows
        if rows > holds:
            while rows > holds:
                rows = max(2, rows // 2)
            budget.out_of_memory(rows)
        else:
            budget.observe(rows, seconds(rows))


@pytest.mark.parametrize("knee", [8, 16, 32, 64])
def test_settles_where_more_rows_stop_paying(knee: int) -> None:
    budget = RowBudget(8)
    # A step takes as long as `knee` rows do, however few there are.
    work(budget, lambda rows: max(rows, knee) / 100)
    assert budget.rows == knee


def test_a_step_that_is_not_full_says_nothing() -> None:
    budget = RowBudget(8)
    for _ in range(100):
        budget.observe(6, 0.001)
        assert budget.rows == 8
    # Where pictures take two rows, one of an odd budget stays empty.
    odd = RowBudget(9)
    for _ in range(9):
        odd.observe(8, 0.1)
    assert odd.rows == 18


@pytest.mark.parametrize("widest", [1, 2, 3, 5, 6, 8, 9, 12, 20, 33, 64])
def test_pictures_of_any_width_fill_a_step(widest: int) -> None:
    """Where sizes mix, a picture's rows need not divide the budget."""
    budget = RowBudget(8)
    for _ in range(200):
        budget.observe(max(1, budget.rows // widest) * widest, 0.1, widest)
    assert budget.rows == MAX_ROWS


@pytest.mark.parametrize("wide", [5, 8, 9, 10, 15, 17, 30, 40])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("knee", [16, 64])
def test_wide_pictures_among_others_do_not_stop_the_growth(wide: int, share: float, knee: int) -> None:
    """They fill a wider step only where twice the width holds two of them."""
    random = Random(0)
    budget = RowBudget(8)
    for _ in range(400):
        if random.random() < share:
            rows, widest = max(1, budget.rows // wide) * wide, wide
        else:
            rows, widest = budget.rows // 2 * 2, 2
        budget.observe(rows, max(rows, knee) / 100, widest)
    assert knee <= budget.rows <= 2 * max(knee, wide)


def test_the_first_steps_of_a_width_are_not_believed() -> None:
    """Two slow ones more would be the greater part of those that are looked at."""
    budget = RowBudget(8)
    calls: dict[int, int] = {}

    def seconds(rows: int) -> float:
        calls[rows] = calls.get(rows, 0) + 1
        return 100.0 if rows > 8 and calls[rows] <= 5 else 0.1

    work(budget, seconds, steps=36)
    assert budget.rows == MAX_ROWS


def test_a_width_that_never_pays_is_tried_ever_more_rarely() -> None:
    budget = RowBudget(8)
    trials = []
    for step in range(16 * CALM):
        before = budget.rows
        work(budget, lambda rows: rows / 100, steps=1)
        if budget.rows > before:
            trials.append(step)
    waits = [later - earlier for earlier, later in pairwise(trials)]
    assert len(waits) >= 3
    assert all(1.8 < later / earlier < 2.2 for earlier, later in pairwise(waits))


def test_never_beyond_what_the_host_allows() -> None:
    budget = RowBudget(12, most=12)
    work(budget, lambda rows: 0.1, steps=5 * CALM)
    assert budget.rows == 12


def test_grows_back_after_memory_ran_out() -> None:
    budget = RowBudget(16)
    budget.out_of_memory(4)
    assert budget.rows == 4
    work(budget, lambda rows: 0.1, steps=CALM - 1)
    assert budget.rows == 4, "too soon"
    work(budget, lambda rows: 0.1, steps=9 * CALM)
    assert budget.rows > 4


@given(holds=st.integers(2, MAX_ROWS), knee=st.integers(1, MAX_ROWS), steps=st.integers(0, 3000))
def test_stays_within_what_the_device_holds(holds: int, knee: int, steps: int) -> None:
    budget = RowBudget(8)
    trials = 0
    for _ in range(steps):
        if budget.rows > holds:
            trials += 1
        work(budget, lambda rows: max(rows, knee) / 100, steps=1, holds=holds)
        assert 2 <= budget.rows <= MAX_ROWS
    # Every trial that runs out of memory makes the next one wait twice as long.
    assert trials <= 3 + max(0, steps // CALM).bit_length()
