"""`fourfold bench`: the engine beside plain diffusers, on the same model, dtype, threads, sampler and steps, in one run."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from engine import Engine, GenerateRequest, ImageReady, RequestOutput, SamplingParams
from engine.benchmark.baseline import Baseline
from engine.benchmark.gpu import ArchitectureReport, measure_architectures
from engine.benchmark.mix import PICTURES, BenchJob, Kind, draw_flood, draw_grids, draw_mix, draw_singles
from engine.benchmark.outcome import Outcome, Summary, fairness, summarise
from engine.benchmark.served import serve, until_compiled
from engine.benchmark.step_costs import measure
from engine.benchmark.watch import watched
from engine.catalog import ModelInfo, read_model
from engine.config import EngineConfig
from engine.launch import launch_engine
from engine.worker.device import device_name, resolve_device, resolve_dtype

log = logging.getLogger(__name__)

LOAD = 0.85
"""Of what job by job can serve of the mix: where latencies are compared."""
FLOOD_LOAD = 0.4
"""What the seven others ask for while one user floods."""
STATIC_ROWS = 16
"""Most rows of a static batch: where rows stop paying for the embedded model on two cores."""

Beside = Callable[[Engine], AbstractAsyncContextManager[Callable[[], int]]]
"""Runs a bot on the engine under test; yields what says how many of its heartbeats came late."""

JOB_BY_JOB, STATIC, ENGINE = "job by job", "static batches", "engine"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that was measured; contenders are JOB_BY_JOB, STATIC and ENGINE."""

    model: str
    device: str
    dtype: str
    threads: int
    sampler: str
    steps: int
    jobs: int
    saturation: dict[str, dict[str, float]]
    """Images a second by trace (`singles`, `grids`, `mix`) and contender, everything asked for at once."""
    load: dict[str, Summary]
    """The mix at 0.85 of what job by job can serve, by contender (STATIC is not run)."""
    fairness: dict[str, float]
    """Jain's index with one user flooding, by contender (STATIC is not run)."""
    host_ms: dict[int, float]
    """Milliseconds of a tick outside the forward pass, by rows."""
    lag_p99: dict[str, float]
    """Seconds the event loop was late, while the model loads and while the engine is saturated."""
    late_heartbeats: int | None
    """Of a bot beside the engine, from before the model loads to the end; None: the engine ran alone."""
    peak_bytes: int
    """Of the process, or of the GPU's memory, while the engine ran."""
    architectures: Sequence[ArchitectureReport]
    """Stable Diffusion 1.5 and XL with random weights; empty where no GPU was at hand."""

    def ratios(self) -> dict[str, float]:
        """Engine ÷ job by job: images a second should be above 1, times below."""
        ours, theirs = self.load[ENGINE], self.load[JOB_BY_JOB]
        return {
            **{f"{trace} images/s": row[ENGINE] / row[JOB_BY_JOB] for trace, row in self.saturation.items()},
            "p50": ours.p50 / theirs.p50,
            "first preview p50": ours.first_preview_p50 / theirs.first_preview_p50,
            "small jobs' p95": ours.small_p95 / theirs.small_p95,
            "big jobs' p95": ours.big_p95 / theirs.big_p95,
        }


async def bench(config: EngineConfig, *, jobs: int = 32, beside: Beside | None = None) -> Report:
    """Measure the first configured model; `jobs` is the length of the mix's traces.

    Raises:
        ModelUnavailable: it cannot be found. GenerationFailed: a job failed.
    """
    info = read_model(config.models[0], config)
    traces = {
        "singles": draw_singles(jobs),
        "grids": draw_grids(max(4, jobs // 3)),
        "mix": draw_mix(jobs),
    }
    saturation: dict[str, dict[str, float]] = {trace: {} for trace in traces}
    load: dict[str, Summary] = {}
    fair: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.png"
        await _draw_source(config, info, source)

        # torch's helper threads stay with the thread that called them: while that one lives, they get in the way of
        # the engine's, which then serves a third fewer pictures.
        with ThreadPoolExecutor(1) as executor:
            on_thread = partial(asyncio.get_running_loop().run_in_executor, executor)
            baseline = await on_thread(Baseline, info, config, source)
            alone = await on_thread(_alone, baseline)
            for trace, asked in traces.items():
                log.info("%s: %s", JOB_BY_JOB, trace)
                saturation[trace][JOB_BY_JOB] = _speed(await on_thread(baseline.run, asked))
                log.info("%s: %s", STATIC, trace)
                static = partial(baseline.run, asked, most_rows=STATIC_ROWS)
                saturation[trace][STATIC] = _speed(await on_thread(static))
            served_a_second = saturation["mix"][JOB_BY_JOB] * jobs / _pictures(traces["mix"])
            at_load = draw_mix(jobs, rate=LOAD * served_a_second)
            flood = draw_flood(jobs // 2, rate=FLOOD_LOAD * served_a_second)
            log.info("%s: load %g, then a flood", JOB_BY_JOB, LOAD)
            load[JOB_BY_JOB] = summarise(await on_thread(baseline.run, at_load))
            fair[JOB_BY_JOB] = fairness(await on_thread(baseline.run, flood), alone)
        del baseline, static
        gc.collect()

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        with watched() as whole:
            # The engine takes requests at once, so that the bot is there while the model loads.
            async with (
                launch_engine(config) as engine,
                beside(engine) if beside else nullcontext(None) as late,
            ):
                with watched() as loading:
                    await serve(engine, _warm_up(), source)
                await until_compiled()
                # How many rows pay is learnt from work, and libraries make a kernel for every width when it first comes.
                await serve(engine, draw_mix(jobs // 2), source)
                with watched() as saturated:
                    for trace, asked in traces.items():
                        log.info("%s: %s", ENGINE, trace)
                        saturation[trace][ENGINE] = _speed(await serve(engine, asked, source))
                log.info("%s: load %g, then a flood", ENGINE, LOAD)
                load[ENGINE] = summarise(await serve(engine, at_load, source))
                fair[ENGINE] = fairness(await serve(engine, flood, source), alone)
                late_heartbeats = None if late is None else late()
        costs = await asyncio.to_thread(measure, config, pictures=(1, 4, 8, 16))
    device = resolve_device(config.device)
    architectures = await measure_architectures(config) if device.type == "cuda" else []
    return Report(
        model=info.title,
        device=device_name(device),
        dtype=str(resolve_dtype(config, device)).removeprefix("torch."),
        threads=torch.get_num_threads(),
        sampler=info.default_sampler,
        steps=info.default_steps,
        jobs=jobs,
        saturation=saturation,
        load=load,
        fairness=fair,
        host_ms={cost.rows: cost.host_ms for cost in costs},
        lag_p99={"loading": loading.lag_p99, "saturated": saturated.lag_p99},
        late_heartbeats=late_heartbeats,
        peak_bytes=whole.peak_bytes,
        architectures=architectures,
    )


async def _draw_source(config: EngineConfig, info: ModelInfo, target: Path) -> None:
    """The picture that every variation starts from, made by the model itself."""
    params = SamplingParams(
        num_inference_steps=info.default_steps,
        guidance_scale=info.default_guidance_scale,
        sampler=info.default_sampler,
        width=info.native_width,
        height=info.native_height,
    )
    request = GenerateRequest(
        request_id="source", model=info.name, prompt="a red sailboat on a calm sea", params=params, seeds=(7,)
    )
    async with launch_engine(config) as engine:
        async for update in engine.submit(request):
            if isinstance(update, ImageReady):
                await asyncio.to_thread(Image.fromarray(update.pixels).save, target)
            elif isinstance(update, RequestOutput) and update.error is not None:
                raise update.error


def _alone(baseline: Baseline) -> dict[Kind, float]:
    """Seconds that one job of each kind takes alone, once everything is warm."""
    baseline.run(_warm_up())
    return {job.kind: baseline.run([job])[0].completed for job in _warm_up()}


def _warm_up() -> list[BenchJob]:
    return [
        BenchJob(
            number=number,
            kind=kind,
            user=0,
            arrival=0.0,
            prompt="a lighthouse",
            seeds=tuple(range(PICTURES[kind])),
        )
        for number, kind in enumerate(Kind)
    ]


def _speed(outcomes: Sequence[Outcome]) -> float:
    return summarise(outcomes).images_per_second


def _pictures(jobs: Sequence[BenchJob]) -> int:
    return sum(PICTURES[job.kind] for job in jobs)
