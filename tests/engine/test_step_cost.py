"""What a step costs beside its rows is read off steps of several widths."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.step_cost import StepCost


@given(
    overhead=st.floats(0, 50),
    per_row=st.floats(1e-4, 1),
    widths=st.lists(st.integers(1, 64), min_size=2, max_size=8, unique=True),
)
def test_found_on_a_device_that_keeps_to_a_line(overhead: float, per_row: float, widths: list[int]) -> None:
    cost = StepCost()
    for _ in range(20):
        for rows in widths:
            cost.observe(rows, per_row * (overhead + rows))
    assert cost.overhead == pytest.approx(overhead, abs=0.01)


def test_near_enough_on_a_device_that_does_not() -> None:
    cost, random = StepCost(), Random(0)
    for _ in range(300):
        rows = random.choice([2, 8, 10, 16, 32])
        cost.observe(rows, (0.011 + 0.005 * rows) * random.uniform(0.8, 1.2))
    assert 1 < cost.overhead < 4


def test_nothing_is_said_of_steps_of_one_width() -> None:
    cost = StepCost()
    for _ in range(100):
        cost.observe(8, 0.1)
    assert cost.overhead == math.inf


def test_nothing_is_said_too_soon() -> None:
    cost = StepCost()
    for step in range(23):
        assert cost.overhead == math.inf
        cost.observe(2 + 2 * (step % 2), 0.1 * (2 + 2 * (step % 2)))
    for _ in range(2):
        cost.observe(2, 0.2)
    assert cost.overhead == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("per_row", [0.0, -0.001])
def test_rows_that_cost_nothing_are_always_worth_it(per_row: float) -> None:
    cost = StepCost()
    for _ in range(20):
        for rows in (2, 4, 8):
            cost.observe(rows, 0.1 + per_row * rows)
    assert cost.overhead == math.inf


def test_the_first_steps_of_a_width_are_not_believed() -> None:
    cost = StepCost()
    for step in range(30):
        for rows in (2, 4, 8):
            cost.observe(rows, 60.0 if step < 2 else 0.01 * (3 + rows))
    assert cost.overhead == pytest.approx(3)


def test_a_device_that_changes_is_followed() -> None:
    cost = StepCost()
    for overhead in (20, 1):
        for _ in range(400):
            for rows in (2, 8):
                cost.observe(rows, 0.01 * (overhead + rows))
    assert cost.overhead == pytest.approx(1, abs=0.05)


def test_steps_without_rows_say_nothing() -> None:
    """Steps in another precision than the model's are reported so."""
    cost = StepCost()
    for _ in range(50):
        cost.observe(0, 0.1)
        cost.observe(8, 0.2)
    assert cost.overhead == math.inf
