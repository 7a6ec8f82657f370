"""Percentiles, summaries and Jain's index on outcomes that can be counted by hand."""

from __future__ import annotations

import math

import pytest

from engine.benchmark.mix import BenchJob, Kind
from engine.benchmark.outcome import Outcome, fairness, percentile, summarise


def outcome(
    kind: Kind, completed: float, *, user: int = 0, arrival: float = 0.0, preview: float = 0.5
) -> Outcome:
    job = BenchJob(number=0, kind=kind, user=user, arrival=arrival, prompt="a cat", seeds=(0,))
    return Outcome(job=job, first_preview=preview, completed=completed)


def test_percentiles_are_values_that_occurred():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, p) for p in (0, 20, 50, 95, 100)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    assert math.isnan(percentile([], 50))


def test_a_summary_keeps_small_and_big_jobs_apart():
    summary = summarise(
        [outcome(Kind.SINGLE, 1.0), outcome(Kind.GRID, 4.0, arrival=6.0), outcome(Kind.VARIATIONS, 3.0)]
    )
    assert summary.images_per_second == pytest.approx(9 / 10)
    assert (summary.p50, summary.p99) == (3.0, 4.0)
    assert (summary.small_p95, summary.big_p95) == (1.0, 4.0)
    assert summary.first_preview_p50 == 0.5


def test_fairness_is_one_when_all_wait_alike_and_falls_when_one_user_has_everything():
    alone = {Kind.GRID: 2.0, Kind.SINGLE: 1.0, Kind.VARIATIONS: 2.0}
    even = [outcome(Kind.GRID, 4.0, user=0), outcome(Kind.SINGLE, 2.0, user=1)]
    assert fairness(even, alone) == pytest.approx(1.0)
    uneven = [outcome(Kind.GRID, 2.0, user=0), outcome(Kind.SINGLE, 1e9, user=1)]
    assert fairness(uneven, alone) == pytest.approx(0.5)
