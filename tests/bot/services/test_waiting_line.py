"""Turns, places and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from bot.domain import Job
from bot.errors import UserError
from bot.services.waiting_line import Limits, WaitingLine
from tests.bot.examples import JOB


def job(number: int, owner_id: int = 1) -> Job:
    """4 pictures × 20 steps × 2 rows: 160 row-steps."""
    created = JOB.created_at + timedelta(seconds=number)
    return replace(JOB, id=UUID(int=number), owner_id=owner_id, created_at=created)


def line_of(*jobs: Job, limits: Limits | None = None) -> WaitingLine:
    line = WaitingLine(limits or Limits(max_running_per_user=1, max_waiting_per_user=3, max_waiting=5))
    for one in jobs:
        line.admit(one, None)
        line.ready(one)
    return line


def test_jobs_are_sent_oldest_first_and_once() -> None:
    first, second, third = job(1), job(2), job(3)
    line = line_of(third, first, second)
    assert list(line.send(1)) == [first]
    assert list(line.send(1)) == []
    line.leave(first.id)
    assert list(line.send(1)) == [second]


def test_a_job_that_is_not_shown_lets_others_pass() -> None:
    line = line_of()
    line.admit(job(1), None)
    line.admit(job(2), None)
    line.ready(job(2))
    assert list(line.send(1)) == [job(2)]
    line.ready(job(1))
    assert list(line.send(1)) == []


def test_places_and_times_count_all_that_is_ahead() -> None:
    line = line_of(job(1), job(2), job(3), job(4, owner_id=2))
    assert list(line.send(1)) == [job(1)]
    assert list(line.send(2)) == [job(4, owner_id=2)]
    line.progress(UUID(int=1), 0.5)
    # Ahead of the second: half of the first (80), all of Bob's (160). Then comes itself.
    assert list(line.held(0.1)) == [
        (UUID(int=2), 2, pytest.approx(40.0)),
        (UUID(int=3), 3, pytest.approx(56.0)),
    ]
    assert list(line.held(0.1)) == [], "nothing changed"
    line.leave(UUID(int=4))
    assert [place for _, place, _ in line.held(0.1)] == [1, 2]
    assert list(line.held(None)) == [(UUID(int=2), 1, None), (UUID(int=3), 2, None)]


def test_all_that_stand_in_it_run_or_wait() -> None:
    line = line_of(job(1), job(2), job(3, owner_id=2))
    line.progress(UUID(int=1), 0.0)
    assert line.counts() == (1, 2)
    line.leave(UUID(int=1))
    assert line.counts() == (0, 2)


def test_running_jobs_share_the_device() -> None:
    line = line_of(job(1), job(2, owner_id=2))
    list(line.send(1)), list(line.send(2))
    line.progress(UUID(int=1), 0.75)
    line.progress(UUID(int=2), 0.0)
    assert line.eta(UUID(int=1), 0.1) == pytest.approx(8.0)
    assert line.eta(UUID(int=2), 0.1) == pytest.approx(20.0)
    assert line.eta(UUID(int=1), None) is None
    assert line.eta(UUID(int=9), 0.1) is None


def test_a_full_line_refuses_with_numbers_and_a_time() -> None:
    line = line_of(job(1), job(2), job(3))
    list(line.send(1))
    with pytest.raises(UserError) as yours:
        line.admit(job(4), 0.1)
    assert (yours.value.code, yours.value.values) == (
        "queue_full_yours",
        {"got": 3, "maximum": 3, "eta": pytest.approx(16.0)},
    )
    # The first one begins: it runs and does not wait any more.
    line.progress(UUID(int=1), 0.0)
    line.admit(job(4), 0.1)
    line.admit(job(6, owner_id=2), None)
    with pytest.raises(UserError) as everybodys:
        line.admit(job(7, owner_id=3), None)
    assert (everybodys.value.code, everybodys.value.values["eta"]) == ("queue_full", None)


def test_what_was_accepted_before_a_restart_is_let_in() -> None:
    line = line_of(limits=Limits(max_running_per_user=1, max_waiting_per_user=0, max_waiting=1))
    line.enter(job(1))
    line.enter(job(2))
    line.ready(job(1))
    assert list(line.send(1)) == [job(1)]


def test_where_nobody_may_wait_one_may_still_run() -> None:
    line = line_of(limits=Limits(max_running_per_user=1, max_waiting_per_user=0, max_waiting=5))
    line.admit(job(1), None)
    with pytest.raises(UserError) as refused:
        line.admit(job(2), None)
    assert refused.value.values["maximum"] == 0
