"""The simulation: work is conserved under every policy, and the scheduler keeps what the figures promise."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.benchmark.mix import Kind, draw_mix
from engine.benchmark.outcome import percentile
from engine.benchmark.simulation import DEVICES, FIFO, OURS, Device, compare, simulate
from engine.benchmark.simulation_policies import ROWS, Continuous, Ours, Policy, steps_of

LAUNCH_BOUND, COMPUTE_BOUND = DEVICES


@pytest.mark.parametrize("policy", [Continuous(rows=0), Continuous(), Ours(COMPUTE_BOUND.knee)])
def test_every_job_ends_and_work_is_conserved(policy: Policy) -> None:
    """Where only arithmetic costs, all at once takes exactly as long under every policy."""
    jobs = draw_mix(30)
    outcomes = simulate(jobs, policy, COMPUTE_BOUND)
    assert sorted(outcome.job.number for outcome in outcomes) == [job.number for job in jobs]
    work = sum(ROWS * len(job.seeds) * steps_of(job) for job in jobs)
    end = max(outcome.completed for outcome in outcomes)
    assert end == pytest.approx(work * COMPUTE_BOUND.per_row)


def test_fifo_alone_takes_its_steps() -> None:
    device = Device(name="one second a step", floor=1.0, per_row=0.1)
    job = draw_mix(1)[0]
    (outcome,) = simulate([job], Continuous(rows=0), device)
    assert (outcome.first_preview, outcome.completed) == (1.0, steps_of(job))


def test_single_pictures_pass_grids_where_batching_gains_nothing() -> None:
    jobs = draw_mix(150, rate=0.05)
    small = {
        name: percentile(
            [o.completed for o in simulate(jobs, policy, COMPUTE_BOUND) if o.job.kind is Kind.SINGLE], 90
        )
        for name, policy in ((FIFO, Continuous(rows=0)), (OURS, Ours(COMPUTE_BOUND.knee)))
    }
    assert small[OURS] < 0.5 * small[FIFO]


def test_figures_are_complete_and_the_same_every_time() -> None:
    figures = compare(30, [LAUNCH_BOUND])
    assert [(row.load, row.policy) for row in figures][::3] == [(0.5, FIFO), (0.85, FIFO), (1.2, FIFO)]
    assert figures == compare(30, [LAUNCH_BOUND])
    assert {row.policy: row.fairness for row in figures}[OURS] >= {
        row.policy: row.fairness for row in figures
    }[FIFO]


def test_the_command_writes_a_table_json_and_a_plot(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine.benchmark.simulation", "--jobs", "10", "--out", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    assert all(device.name in printed for device in DEVICES)
    rows = json.loads((tmp_path / "simulation.json").read_text(encoding="utf-8"))
    assert len(rows) == 18
    assert rows[0].keys() == {field.name for field in dataclasses.fields(compare(10, [LAUNCH_BOUND])[0])}
    assert (tmp_path / "simulation.png").read_bytes().startswith(b"\x89PNG")
