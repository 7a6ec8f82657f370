"""Print what each switch gains and costs, alone and together: `python -m tests.benchmarks.bench_switches [MODEL]`.

Grids of four, all asked for at once, with the model's defaults. Likeness is that of every picture to the one of exact
mode, with the same seed. A switch that is on by default has SSIM >= 0.97 and PSNR >= 30 dB.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from typing import Any

import numpy as np

from engine import (
    EMBEDDED_MODEL,
    Engine,
    EngineConfig,
    GenerateRequest,
    ImageReady,
    RequestOutput,
    SamplingParams,
)
from engine.benchmark.mix import PROMPTS
from engine.benchmark.served import until_compiled
from engine.launch import launch_engine
from tests.engine.likeness import psnr, ssim

_PLAIN = {"channels_last": False, "compile": False, "row_buckets": False}
SWITCHES: dict[str, dict[str, Any]] = {
    "exact": {"exact": True},
    "float32": _PLAIN | {"dtype": "float32"},
    "bfloat16": _PLAIN | {"dtype": "bfloat16"},
    "float32, channels last": _PLAIN | {"dtype": "float32", "channels_last": True},
    "float32, compile": _PLAIN | {"dtype": "float32", "compile": True},
    "float32, row buckets": _PLAIN | {"dtype": "float32", "row_buckets": True},
    "bfloat16, row buckets": _PLAIN | {"dtype": "bfloat16", "row_buckets": True},
    "bfloat16, channels last": _PLAIN | {"dtype": "bfloat16", "channels_last": True},
    "bfloat16, compile": _PLAIN | {"dtype": "bfloat16", "compile": True},
    "defaults": {},
    "defaults, compile": {"compile": True},
}
Pictures = dict[tuple[str, int], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=EMBEDDED_MODEL)
    parser.add_argument("--grids", type=int, default=6)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    sys.stdout.write(f"{'':26}images/s   SSIM mean    min   PSNR mean    min\n")
    exact: Pictures = {}
    for name, options in SWITCHES.items():
        config = EngineConfig(models=(args.model,), **options)
        speed, pictures = asyncio.run(_measure(config, args.grids, args.runs))
        exact = exact or pictures
        likeness = [ssim(exact[key], pixels) for key, pixels in pictures.items()]
        noise = [psnr(exact[key], pixels) for key, pixels in pictures.items()]
        sys.stdout.write(
            f"{name:26}{speed:8.2f}  {statistics.mean(likeness):10.4f}  {min(likeness):.4f}"
            f"  {statistics.mean(noise):10.1f}  {min(noise):5.1f}\n"
        )
        sys.stdout.flush()


async def _measure(config: EngineConfig, grids: int, runs: int) -> tuple[float, Pictures]:
    """Images a second, the median of some runs, and the pictures of the last."""
    async with launch_engine(config) as engine:
        await _make(engine, grids, "warm")
        await until_compiled()
        speeds = []
        for run in range(runs):
            started = time.perf_counter()
            pictures = await _make(engine, grids, str(run))
            speeds.append(len(pictures) / (time.perf_counter() - started))
    return statistics.median(speeds), pictures


async def _make(engine: Engine, grids: int, run: str) -> Pictures:
    info = engine.models()[0]
    params = SamplingParams(
        num_inference_steps=info.default_steps,
        guidance_scale=info.default_guidance_scale,
        sampler=info.default_sampler,
        width=info.native_width,
        height=info.native_height,
    )
    pictures: Pictures = {}

    async def grid(number: int) -> None:
        request = GenerateRequest(
            request_id=f"{run}-{number}",
            model=info.name,
            prompt=PROMPTS[number % len(PROMPTS)],
            params=params,
            seeds=tuple(range(10 * number, 10 * number + 4)),
        )
        async for update in engine.submit(request):
            if isinstance(update, ImageReady):
                pictures[str(number), update.index] = update.pixels
            elif isinstance(update, RequestOutput) and update.error is not None:
                raise update.error

    async with asyncio.TaskGroup() as group:
        for number in range(grids):
            group.create_task(grid(number))
    return pictures


if __name__ == "__main__":
    main()
