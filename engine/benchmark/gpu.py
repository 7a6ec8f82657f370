"""What a GPU makes of the architectures that people run: how wide steps pay, and eight users beside job by job."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from engine.benchmark.architectures import (
    STABLE_DIFFUSION_15,
    STABLE_DIFFUSION_XL,
    Architecture,
    write_random,
)
from engine.benchmark.baseline import Baseline
from engine.benchmark.mix import USERS, draw_singles
from engine.benchmark.outcome import summarise
from engine.benchmark.served import serve, until_compiled
from engine.benchmark.step_costs import measure
from engine.catalog import read_model
from engine.config import EngineConfig
from engine.launch import launch_engine
from engine.worker.device import resolve_device, resolve_dtype

log = logging.getLogger(__name__)

ARCHITECTURES = (STABLE_DIFFUSION_15, STABLE_DIFFUSION_XL)
PICTURES = (1, 2, 4, 8, 16, 32)
"""Of a step of the sweep; each takes two rows."""
JOBS = 24
"""Single pictures of the mix's eight users."""
ROUNDS = 3
"""Of the same jobs before it is measured."""
INTERVAL = (0.1, 0.7)
"""The share of the steps that is guided where the table says so (Kynkäänniemi et al. 2024)."""
JOB_BY_JOB, ENGINE, COMPILED, COMPILED_INTERVAL = (
    "job by job",
    "engine",
    "engine, compiled",
    "engine, compiled, guided for 60 % of the steps",
)


@dataclass(frozen=True, kw_only=True)
class ArchitectureReport:
    """One architecture at its native size."""

    title: str
    side: int
    """Pixels."""
    rows_per_second: dict[int, float]
    """By the rows of a step."""
    images_per_second: dict[str, float]
    """By contender, eight users each asking for a single picture once they have their last one."""


async def measure_architectures(
    config: EngineConfig,
    architectures: Sequence[Architecture] = ARCHITECTURES,
    *,
    pictures: tuple[int, ...] = PICTURES,
    jobs: int = JOBS,
) -> list[ArchitectureReport]:
    """Write each with random weights into a temporary folder (SDXL: 7 GB) and measure it on the configured device."""
    reports = []
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            log.info("%s, random weights", architecture.title)
            dtype = resolve_dtype(config, resolve_device(config.device))
            path = await asyncio.to_thread(write_random, architecture, Path(folder) / "model", dtype)
            measured = replace(config, models=(str(path),))
            reports.append(await _measure(measured, architecture.title, Path(folder), pictures, jobs))
        gc.collect()
    return reports


async def _measure(
    config: EngineConfig, title: str, folder: Path, pictures: tuple[int, ...], jobs: int
) -> ArchitectureReport:
    info = read_model(config.models[0], config)
    source = folder / "source.png"
    Image.fromarray(np.zeros((info.native_height, info.native_width, 3), dtype=np.uint8)).save(source)
    asked = draw_singles(jobs)
    speeds: dict[str, float] = {}
    # A thread of its own that ends, as in `bench`.
    with ThreadPoolExecutor(1) as executor:
        on_thread = partial(asyncio.get_running_loop().run_in_executor, executor)
        baseline = await on_thread(Baseline, info, config, source)
        await on_thread(baseline.run, asked[:2])
        speeds[JOB_BY_JOB] = summarise(await on_thread(baseline.run, asked)).images_per_second
        del baseline
        gc.collect()
    for name, compiles, interval in (
        (ENGINE, False, (0.0, 1.0)),
        (COMPILED, True, (0.0, 1.0)),
        (COMPILED_INTERVAL, True, INTERVAL),
    ):
        log.info("%s: %s", title, name)
        async with launch_engine(replace(config, compile=compiles)) as engine:
            # The first jobs find out how many rows pay, and compile.
            for _ in range(ROUNDS):
                await serve(engine, asked, source, guidance_interval=interval, at_once=USERS)
                await until_compiled()
            outcomes = await serve(engine, asked, source, guidance_interval=interval, at_once=USERS)
            speeds[name] = summarise(outcomes).images_per_second
        gc.collect()
    with ThreadPoolExecutor(1) as executor:
        sweep = partial(measure, config, steps=12, pictures=pictures)
        costs = await asyncio.get_running_loop().run_in_executor(executor, sweep)
    return ArchitectureReport(
        title=title,
        side=info.native_width,
        rows_per_second={cost.rows: cost.rows_per_second for cost in costs},
        images_per_second=speeds,
    )
