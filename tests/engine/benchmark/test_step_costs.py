"""What a tick costs beside its forward passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import EngineConfig
from engine.benchmark.step_costs import measure


@pytest.mark.parametrize("compiles", [False, True])
def test_every_tick_is_split_into_forward_pass_and_the_rest(tiny_model: Path, compiles: bool) -> None:
    config = EngineConfig(models=(str(tiny_model),), device="cpu", dtype="float32", compile=compiles)
    costs = measure(config, steps=5, pictures=(1, 2))
    assert [cost.rows for cost in costs] == [2, 4]
    for cost in costs:
        assert cost.host_ms > 0
        assert cost.forward_ms > 0
        whole = cost.host_ms + cost.forward_ms
        assert cost.rows_per_second == pytest.approx(1000 * cost.rows / whole)
