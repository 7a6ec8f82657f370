"""Policies beside each other on a model of a device: `python -m engine.benchmark.simulation [--jobs N] [--out FOLDER]`.

A step of r rows takes max(floor, r × per row) seconds, on a device that is bound by launches (512 px) or by arithmetic
(1024 px). FIFO and naive continuous batching stand beside the engine's own Scheduler, which runs here unchanged.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from engine.benchmark.mix import PICTURES, SHARES, USERS, BenchJob, Kind, draw_flood, draw_mix
from engine.benchmark.outcome import Outcome, fairness, percentile
from engine.benchmark.simulation_policies import ROWS, Continuous, Ours, Policy, steps_of

LOADS = (0.5, 0.85, 1.2)
"""Of what FIFO can serve."""
FLOOD_LOAD = 0.5
FLOOD_JOBS_OF_OTHERS = 24
"""What the seven others ask for, and how often, while one user's flood is served."""
FIFO, NAIVE, OURS = "FIFO", "naive continuous", "engine's scheduler"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A step of r rows takes max(floor, r × per_row) seconds."""

    name: str
    floor: float
    per_row: float

    def seconds(self, rows: int) -> float:
        return max(self.floor, rows * self.per_row)

    @property
    def knee(self) -> int:
        """The rows from which on a step gets longer: the row budget."""
        return round(self.floor / self.per_row)


DEVICES = (
    Device(name="launch-bound 512 px, knee 12 rows", floor=0.12, per_row=0.01),
    Device(name="compute-bound 1024 px, knee 2 rows", floor=0.2, per_row=0.1),
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Seconds after a job's arrival; small jobs are single pictures, big ones grids of four."""

    device: str
    load: float
    policy: str
    images_per_second: float
    mean: float
    p50: float
    p95: float
    p99: float
    small_p50: float
    small_p95: float
    small_p99: float
    big_p50: float
    big_p95: float
    big_p99: float
    first_step_p50: float
    first_step_p95: float
    fairness: float
    """Jain's index of eight users of whom one floods; it does not depend on `load`."""


def simulate(jobs: Sequence[BenchJob], policy: Policy, device: Device) -> list[Outcome]:
    """Serve a trace to its end on a virtual clock. `first_preview` is the end of a job's first step."""
    now = 0.0
    arriving = sorted(jobs, key=lambda job: job.arrival)[::-1]
    live: dict[int, BenchJob] = {}
    first: dict[int, float] = {}
    outcomes = []
    while arriving or live:
        if not live:
            now = max(now, arriving[-1].arrival)
        while arriving and arriving[-1].arrival <= now:
            job = arriving.pop()
            live[job.number] = job
            policy.add(job)
        step = policy.step(now)
        assert step is not None, "a policy is never idle while a job waits"
        seconds = device.seconds(step.rows)
        policy.observe(step.rows, seconds)
        now += seconds
        for number in step.stepped:
            first.setdefault(number, now)
        for number in step.finished:
            job = live.pop(number)
            outcomes.append(
                Outcome(job=job, first_preview=first[number] - job.arrival, completed=now - job.arrival)
            )
    return outcomes


def compare(jobs: int, devices: Sequence[Device] = DEVICES) -> list[Figures]:
    """Every policy on every device at every load, all on the same trace of the fixed mix."""
    figures = []
    for device in devices:
        contenders: dict[str, Callable[[], Policy]] = {
            FIFO: lambda: Continuous(rows=0),
            NAIVE: Continuous,
            OURS: partial(Ours, device.knee),
        }
        alone = {kind: _alone(kind, device) for kind in Kind}
        capacity = 1 / sum(share * alone[kind] for kind, share in SHARES.items())
        flood = draw_flood(FLOOD_JOBS_OF_OTHERS, rate=FLOOD_LOAD * capacity)
        even = {name: fairness(simulate(flood, make(), device), alone) for name, make in contenders.items()}
        for load in LOADS:
            trace = draw_mix(jobs, rate=load * capacity)
            for name, make in contenders.items():
                outcomes = simulate(trace, make(), device)
                figures.append(_figures(outcomes, device, load, name, even[name]))
    return figures


def as_table(figures: Sequence[Figures]) -> str:
    """Plain text; seconds."""
    lines = []
    for device in dict.fromkeys(row.device for row in figures):
        lines += [
            f"{device} · {USERS} users",
            f"{'load':>5} {'policy':19}{'img/s':>6}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}"
            f"{'small p50':>11}{'p95':>8}{'p99':>8}{'big p50':>9}{'p95':>8}{'p99':>8}{'first p50':>11}{'p95':>8}{'Jain':>6}",
        ]
        for row in (row for row in figures if row.device == device):
            lines.append(
                f"{row.load:5.2f} {row.policy:19}{row.images_per_second:6.2f}"
                f"{row.mean:8.1f}{row.p50:8.1f}{row.p95:8.1f}{row.p99:8.1f}"
                f"{row.small_p50:11.1f}{row.small_p95:8.1f}{row.small_p99:8.1f}"
                f"{row.big_p50:9.1f}{row.big_p95:8.1f}{row.big_p99:8.1f}"
                f"{row.first_step_p50:11.1f}{row.first_step_p95:8.1f}{row.fairness:6.2f}"
            )
        lines.append("")
    return "\n".join(lines)


def draw_plot(figures: Sequence[Figures], target: Path) -> None:
    """Bars of p50, small and big p95 by load and policy; the suffix of `target` names the format."""
    inks = {FIFO: (150, 150, 158), NAIVE: (214, 140, 30), OURS: (38, 96, 196)}
    shown = {"p50": "half of all jobs", "small_p95": "small, p95", "big_p95": "big, p95"}
    devices = list(dict.fromkeys(row.device for row in figures))
    loads = list(dict.fromkeys(row.load for row in figures))
    width, panel = 460, 40 + len(loads) * (26 + len(shown) * (len(inks) * 15 + 10))
    image = Image.new("RGB", (width * len(devices), panel + 40), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    font, ink = ImageFont.load_default(12), (40, 40, 46)
    for column, device in enumerate(devices):
        left, y = 16 + width * column, 12
        draw.text((left, y), f"{device}: seconds to completion", fill=ink, font=font)
        y += 24
        for load in loads:
            draw.text((left, y), f"load {load:g}", fill=ink, font=font)
            y += 20
            for name, title in shown.items():
                rows = [row for row in figures if row.device == device and row.load == load]
                most = max(getattr(row, name) for row in rows)
                draw.text((left, y + 14), title, fill=ink, font=font)
                for row in rows:
                    length = 200 * getattr(row, name) / most
                    draw.rectangle((left + 105, y + 2, left + 105 + length, y + 13), fill=inks[row.policy])
                    draw.text(
                        (left + 111 + length, y),
                        f"{getattr(row, name):.1f}",
                        fill=inks[row.policy],
                        font=font,
                    )
                    y += 15
                y += 10
            y += 6
    for number, (name, colour) in enumerate(inks.items()):
        x = 16 + 170 * number
        draw.rectangle((x, panel + 16, x + 10, panel + 26), fill=colour)
        draw.text((x + 16, panel + 14), name, fill=colour, font=font)
    image.save(target)


def main() -> None:
    """Print the table; write simulation.json and simulation.png."""
    parser = argparse.ArgumentParser(prog="python -m engine.benchmark.simulation", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of each trace")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder for simulation.json and simulation.png"
    )
    args = parser.parse_args()
    if args.jobs < 10:  # Fewer may hold no single picture, and its class would have no figures.
        parser.error(f"--jobs is {args.jobs}; a trace takes 10 jobs or more, 1000 by default.")
    args.out.mkdir(parents=True, exist_ok=True)
    figures = compare(args.jobs)
    sys.stdout.write(as_table(figures) + "\n")
    rows = [dataclasses.asdict(row) for row in figures]
    (args.out / "simulation.json").write_text(
        json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    draw_plot(figures, args.out / "simulation.png")


def _alone(kind: Kind, device: Device) -> float:
    """Seconds that a job takes with the device to itself."""
    job = BenchJob(number=0, kind=kind, user=0, arrival=0.0, prompt="", seeds=tuple(range(PICTURES[kind])))
    return steps_of(job) * device.seconds(ROWS * PICTURES[kind])


def _figures(outcomes: Sequence[Outcome], device: Device, load: float, policy: str, even: float) -> Figures:
    everybody = [outcome.completed for outcome in outcomes]
    small = [outcome.completed for outcome in outcomes if outcome.job.kind is Kind.SINGLE]
    big = [outcome.completed for outcome in outcomes if outcome.job.kind is not Kind.SINGLE]
    first = [outcome.first_preview for outcome in outcomes]
    end = max(outcome.job.arrival + outcome.completed for outcome in outcomes)
    return Figures(
        device=device.name,
        load=load,
        policy=policy,
        images_per_second=sum(PICTURES[outcome.job.kind] for outcome in outcomes) / end,
        mean=sum(everybody) / len(everybody),
        p50=percentile(everybody, 50),
        p95=percentile(everybody, 95),
        p99=percentile(everybody, 99),
        small_p50=percentile(small, 50),
        small_p95=percentile(small, 95),
        small_p99=percentile(small, 99),
        big_p50=percentile(big, 50),
        big_p95=percentile(big, 95),
        big_p99=percentile(big, 99),
        first_step_p50=percentile(first, 50),
        first_step_p95=percentile(first, 95),
        fairness=even,
    )


if __name__ == "__main__":
    main()
