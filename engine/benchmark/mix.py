"""What the benchmark asks for: the jobs of a busy Discord server, drawn from a seed that stands here.

The mix is fixed: 50 % grids, 30 % grids of variations, 20 % single pictures, eight users, Poisson arrivals. Figures of
two versions compare only because nobody can choose another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SEED = 20_261_122
USERS = 8
FLOOD_JOBS = 12
"""What the flooding user asks for at once, before anybody else comes."""
VARIATION_STRENGTH = 0.8
PROMPTS = (
    "a red sailboat on a calm sea at sunset, watercolor",
    "a yellow hot-air balloon over snowy mountains at dawn, oil painting",
    "a green cat in a forest at night, pixel art",
    "a blue house in a meadow at noon, flat illustration",
    "a white lighthouse by the sea at night, oil painting",
    "an orange fox in the snow at dawn, watercolor",
)


class Kind(StrEnum):
    """What a job makes."""

    GRID = "grid"
    VARIATIONS = "variations"
    SINGLE = "single"


SHARES = {Kind.GRID: 0.5, Kind.VARIATIONS: 0.3, Kind.SINGLE: 0.2}
"""Of all jobs of the mix."""
PICTURES = {Kind.GRID: 4, Kind.VARIATIONS: 4, Kind.SINGLE: 1}


@dataclass(frozen=True, kw_only=True)
class BenchJob:
    """One job of the mix."""

    number: int
    kind: Kind
    user: int
    arrival: float
    """Seconds after the start."""
    prompt: str
    seeds: tuple[int, ...]


def draw_mix(count: int, *, rate: float | None = None) -> list[BenchJob]:
    """`count` jobs in the order of their arrival: `rate` a second, or all at once."""
    return _draw(count, rate, None)


def draw_singles(count: int) -> list[BenchJob]:
    """Single pictures alone, all at once."""
    return _draw(count, None, Kind.SINGLE)


def draw_grids(count: int) -> list[BenchJob]:
    """Grids alone, all at once."""
    return _draw(count, None, Kind.GRID)


def draw_flood(count: int, *, rate: float) -> list[BenchJob]:
    """User 0 asks for FLOOD_JOBS grids at once; the others go on as in the mix."""
    flood = [_job(number, Kind.GRID, 0, 0.0) for number in range(FLOOD_JOBS)]
    others = [
        _job(FLOOD_JOBS + job.number, job.kind, 1 + job.user % (USERS - 1), job.arrival)
        for job in _draw(count, rate, None)
    ]
    return flood + others


def _draw(count: int, rate: float | None, only: Kind | None) -> list[BenchJob]:
    dice = random.Random(SEED)  # A repeatable trace, not a secret.
    jobs, arrival = [], 0.0
    for number in range(count):
        kind = dice.choices(list(SHARES), list(SHARES.values()))[0]
        user = dice.randrange(USERS)
        wait = dice.expovariate(1.0)
        if rate is not None:
            arrival += wait / rate
        jobs.append(_job(number, only or kind, user, arrival))
    return jobs


def _job(number: int, kind: Kind, user: int, arrival: float) -> BenchJob:
    return BenchJob(
        number=number,
        kind=kind,
        user=user,
        arrival=arrival,
        prompt=PROMPTS[number % len(PROMPTS)],
        seeds=tuple(range(100 * number, 100 * number + PICTURES[kind])),
    )
