"""A report for people and for programs: a table, JSON and a plot."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from engine.benchmark.architectures import STABLE_DIFFUSION_15, STABLE_DIFFUSION_XL
from engine.benchmark.bench import ENGINE, JOB_BY_JOB, STATIC, Report
from engine.benchmark.gpu import ARCHITECTURES, COMPILED_INTERVAL

TARGETS = {
    "singles images/s": ("≥", 1.7),
    "mix images/s": ("≥", 1.2),
    "p50": ("≤", 0.6),
    "first preview p50": ("≤", 0.25),
    "small jobs' p95": ("≤", 0.3),
    "big jobs' p95": ("≤", 1.5),
}
"""What two CPU cores with the embedded model should reach, engine ÷ job by job."""
MOST_LAG = 0.05
"""Seconds that the event loop may be late, in 99 of 100 looks at the clock."""
GPU_TARGETS = {
    (STABLE_DIFFUSION_15.title, ENGINE): 1.7,
    (STABLE_DIFFUSION_XL.title, ENGINE): 1.0,
    (STABLE_DIFFUSION_XL.title, COMPILED_INTERVAL): 1.5,
}
"""What a GPU should reach, images/s ÷ job by job."""

_INKS = {JOB_BY_JOB: (150, 150, 158), STATIC: (214, 140, 30), ENGINE: (38, 96, 196)}
_PAPER, _INK = (252, 252, 250), (40, 40, 46)


def as_table(report: Report) -> str:
    """Plain text, at most 120 columns wide."""
    lines = [
        f"{report.model} on {report.device}, {report.dtype}, {report.threads} threads,"
        f" {report.sampler} {report.steps} steps, {report.jobs} jobs",
        "",
        f"{'images/s, all at once':28}" + "".join(f"{name:>16}" for name in (JOB_BY_JOB, STATIC, ENGINE)),
    ]
    for trace, row in report.saturation.items():
        lines.append(f"  {trace:26}" + "".join(f"{row[name]:16.2f}" for name in (JOB_BY_JOB, STATIC, ENGINE)))
    lines += ["", f"{'mix at load 0.85, seconds':28}{JOB_BY_JOB:>16}{'':16}{ENGINE:>16}"]
    ours, theirs = dataclasses.asdict(report.load[ENGINE]), dataclasses.asdict(report.load[JOB_BY_JOB])
    for name, value in theirs.items():
        lines.append(f"  {name.replace('_', ' '):26}{value:16.2f}{'':16}{ours[name]:16.2f}")
    fair = report.fairness
    lines += [
        f"  {'fairness, one user floods':26}{fair[JOB_BY_JOB]:16.2f}{'':16}{fair[ENGINE]:16.2f}",
        "",
        "engine ÷ job by job",
    ]
    for name, ratio in report.ratios().items():
        verdict = _verdict(ratio, *TARGETS[name]) if name in TARGETS else ""
        lines.append(f"  {name:26}{ratio:8.2f}×{verdict}")
    late = report.late_heartbeats
    lines += [
        "",
        "host ms per tick: " + ", ".join(f"{ms:.2f} at {rows} rows" for rows, ms in report.host_ms.items()),
        "event-loop lag p99: "
        + ", ".join(f"{1000 * lag:.1f} ms {state}" for state, lag in report.lag_p99.items())
        + _verdict(1000 * max(report.lag_p99.values()), "≤", 1000 * MOST_LAG),
        "engine alone, no bot beside it"
        if late is None
        else f"bot beside: {late} heartbeats came late{_verdict(late, '≤', 0)}",
        f"peak memory: {report.peak_bytes / 1e9:.2f} GB",
        "",
        *_architectures(report),
    ]
    return "\n".join(lines)


def _architectures(report: Report) -> list[str]:
    measured = {architecture.title: architecture for architecture in report.architectures}
    lines = ["architectures with random weights, eight users"]
    for architecture in ARCHITECTURES:
        figures = measured.get(architecture.title)
        if figures is None:
            lines.append(f"  {architecture.title:26}not measured: this needs a CUDA GPU")
            continue
        theirs = figures.images_per_second[JOB_BY_JOB]
        lines.append(f"  {figures.title}, {figures.side}²")
        for name, speed in figures.images_per_second.items():
            target = GPU_TARGETS.get((figures.title, name))
            verdict = "" if target is None else _verdict(speed / theirs, "≥", target)
            lines.append(f"    {name:50}{speed:8.2f} images/s{speed / theirs:8.2f}×{verdict}")
        sweep = ", ".join(f"{speed:.1f} at {rows}" for rows, speed in figures.rows_per_second.items())
        lines.append(f"    rows/s: {sweep}")
    return lines


def as_json(report: Report) -> str:
    """Everything, with the ratios; NaN becomes null."""
    values = {**dataclasses.asdict(report), "ratios": report.ratios()}
    return json.dumps(_finite(values), indent=1, ensure_ascii=False)


def draw_plot(report: Report, target: Path) -> None:
    """Bars of images a second and of times at load 0.85; the suffix of `target` names the format."""
    groups = [(f"{trace}, images/s", row) for trace, row in report.saturation.items()]
    for name in ("p50", "p95", "first_preview_p50", "small_p95", "big_p95"):
        row = {contender: getattr(summary, name) for contender, summary in report.load.items()}
        groups.append((f"{name.replace('_', ' ')}, s", row))
    width, height = 760, 56 + 74 * len(groups)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    draw.text((20, 16), f"{report.model} on {report.device}, {report.dtype}", fill=_INK, font=font)
    for number, (title, row) in enumerate(groups):
        top = 50 + 74 * number
        draw.text((20, top), title, fill=_INK, font=font)
        most = max((value for value in row.values() if not math.isnan(value)), default=0.0) or 1.0
        for line, (name, value) in enumerate(row.items()):
            y = top + 20 * line
            length = 0 if math.isnan(value) else 340 * value / most
            draw.rectangle((210, y + 2, 210 + length, y + 15), fill=_INKS[name])
            draw.text((218 + length, y), f"{value:.2f}  {name}", fill=_INK, font=font)
    image.save(target)


def _verdict(figure: float, sign: str, target: float) -> str:
    met = figure >= target if sign == "≥" else figure <= target
    return f"  target {sign} {target:g}: {'met' if met else 'missed'}"


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
