"""How the jobs of one run ended, and what can be said of them together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.benchmark.mix import PICTURES, BenchJob, Kind


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One job that is done. Times in seconds after its arrival."""

    job: BenchJob
    first_preview: float
    """When its user could first see something of it: the first step of a baseline, a preview of the engine."""
    completed: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Times in seconds. Small jobs are single pictures, big ones are grids."""

    images_per_second: float
    p50: float
    p95: float
    p99: float
    first_preview_p50: float
    small_p95: float
    big_p95: float


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Figures of a run; a class that the run did not hold is NaN."""
    finish = max(outcome.job.arrival + outcome.completed for outcome in outcomes)
    completed = [outcome.completed for outcome in outcomes]
    return Summary(
        images_per_second=sum(PICTURES[outcome.job.kind] for outcome in outcomes) / finish,
        p50=percentile(completed, 50),
        p95=percentile(completed, 95),
        p99=percentile(completed, 99),
        first_preview_p50=percentile([outcome.first_preview for outcome in outcomes], 50),
        small_p95=percentile([o.completed for o in outcomes if o.job.kind is Kind.SINGLE], 95),
        big_p95=percentile([o.completed for o in outcomes if o.job.kind is not Kind.SINGLE], 95),
    )


def fairness(outcomes: Sequence[Outcome], alone: Mapping[Kind, float]) -> float:
    """Jain's index of how fast the users were served, each beside what their jobs take alone (seconds per kind).

    1 is perfectly even, 1/users is one user having everything (Jain, Chiu and Hawe 1984).
    """
    speeds: dict[int, list[float]] = defaultdict(list)
    for outcome in outcomes:
        speeds[outcome.job.user].append(alone[outcome.job.kind] / outcome.completed)
    means = [sum(speed) / len(speed) for speed in speeds.values()]
    return sum(means) ** 2 / (len(means) * sum(mean * mean for mean in means))


def percentile(values: Sequence[float], per_cent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(per_cent / 100 * len(ordered)) - 1)]
