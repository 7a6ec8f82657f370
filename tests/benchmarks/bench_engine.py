"""Print what a tick costs: `python -m tests.benchmarks.bench_engine [MODEL] [--dtype …] [--steps N]`.

Without MODEL: the embedded model where it is there, else a tiny random one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from engine import EMBEDDED_MODEL, EngineConfig
from engine.benchmark.step_costs import measure
from engine.catalog import EMBEDDED_DIR
from tests.engine.tiny import write_tiny_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if model is None and (EMBEDDED_DIR / EMBEDDED_MODEL / "model_index.json").is_file():
            model = EMBEDDED_MODEL
        if model is None:
            model = str(write_tiny_model(Path(folder)))
        costs = measure(EngineConfig(models=(model,), dtype=args.dtype), steps=args.steps)
    sys.stdout.write("rows  host ms/tick  forward ms/tick  rows/s\n")
    for cost in costs:
        sys.stdout.write(
            f"{cost.rows:4d}  {cost.host_ms:12.2f}  {cost.forward_ms:15.2f}  {cost.rows_per_second:6.1f}\n"
        )


if __name__ == "__main__":
    main()
