"""The whole benchmark on a tiny random model: every figure is there and finite, in every form."""

from __future__ import annotations

import json
import math
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

from PIL import Image

from engine import EngineConfig
from engine.benchmark.bench import ENGINE, JOB_BY_JOB, STATIC, bench
from engine.benchmark.report import TARGETS, as_json, as_table, draw_plot
from tests.engine.tiny import write_tiny_model


async def test_a_report_holds_every_figure(tmp_path):
    beside = []

    @asynccontextmanager
    async def watch_beside(engine):
        beside.append(engine.models()[0].name)
        yield lambda: 3

    model = str(write_tiny_model(tmp_path / "model"))
    report = await bench(EngineConfig(models=(model,)), jobs=8, beside=watch_beside)

    assert beside == [model]
    assert report.late_heartbeats == 3
    assert set(report.saturation) == {"singles", "grids", "mix"}
    for row in report.saturation.values():
        assert set(row) == {JOB_BY_JOB, STATIC, ENGINE}
        assert all(speed > 0 for speed in row.values())
    for summary in report.load.values():
        assert all(math.isfinite(value) and value > 0 for value in asdict(summary).values())
        assert summary.p50 <= summary.p95 <= summary.p99
    assert all(1 / 8 <= index <= 1.0001 for index in report.fairness.values())
    assert set(report.ratios()) >= set(TARGETS)
    assert report.peak_bytes > 0

    table = as_table(report)
    assert table.count("not measured") == 2, "no GPU: neither architecture has figures"
    assert all(len(line) <= 120 for line in table.splitlines())
    for name in TARGETS:
        assert name in table
    assert "3 heartbeats came late  target ≤ 0: missed" in table
    alone = as_table(replace(report, late_heartbeats=None, lag_p99={"loading": 0.051, "saturated": 0.01}))
    assert "engine alone" in alone
    assert "51.0 ms loading, 10.0 ms saturated  target ≤ 50: missed" in alone
    assert json.loads(as_json(report))["ratios"] == report.ratios()
    draw_plot(report, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as plot:
        assert plot.width == 760
