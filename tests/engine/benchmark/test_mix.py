"""The benchmark's trace is the fixed mix, whoever draws it."""

from __future__ import annotations

import pytest

from engine.benchmark.mix import FLOOD_JOBS, SHARES, USERS, Kind, draw_flood, draw_mix, draw_singles


def test_the_mix_has_its_shares_users_and_rate():
    jobs = draw_mix(4000, rate=2.0)
    for kind, share in SHARES.items():
        assert sum(job.kind is kind for job in jobs) / len(jobs) == pytest.approx(share, abs=0.03)
    assert {job.user for job in jobs} == set(range(USERS))
    assert jobs == sorted(jobs, key=lambda job: job.arrival)
    assert len(jobs) / jobs[-1].arrival == pytest.approx(2.0, rel=0.1)


def test_the_same_mix_is_drawn_every_time_and_only_its_clock_depends_on_the_rate():
    slow, fast = draw_mix(50, rate=1.0), draw_mix(50, rate=2.0)
    assert slow == draw_mix(50, rate=1.0)
    for one, other in zip(slow, fast, strict=True):
        assert (one.kind, one.user, one.seeds) == (other.kind, other.user, other.seeds)
        assert other.arrival == pytest.approx(one.arrival / 2)


def test_jobs_differ_in_number_and_seeds():
    for jobs in (draw_mix(30), draw_singles(30), draw_flood(30, rate=1.0)):
        assert len({job.number for job in jobs}) == len(jobs)
        seeds = [seed for job in jobs for seed in job.seeds]
        assert len(set(seeds)) == len(seeds)


def test_a_flood_is_one_users():
    jobs = draw_flood(40, rate=1.0)
    flood = [job for job in jobs if job.user == 0]
    assert len(flood) == FLOOD_JOBS
    assert all(job.arrival == 0 and job.kind is Kind.GRID for job in flood)
