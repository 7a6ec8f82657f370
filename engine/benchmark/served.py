"""The engine under test: the same jobs through its front door, in real time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine import Engine, FinishReason, GenerateRequest, Operation, Progress, RequestOutput, SamplingParams
from engine.benchmark.mix import VARIATION_STRENGTH, BenchJob, Kind
from engine.benchmark.outcome import Outcome
from engine.worker.compiled import COMPILING


async def serve(
    engine: Engine,
    jobs: Sequence[BenchJob],
    source: Path,
    *,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    at_once: int | None = None,
) -> list[Outcome]:
    """Submit every job when it arrives and wait for all. `source` is the picture that variations start from; `at_once`
    lets only so many be under way, as when that many users wait for one picture before they ask for the next.

    Raises:
        GenerationFailed: a job failed; figures of a run that lost one would flatter.
    """
    started = time.perf_counter()
    places = asyncio.Semaphore(at_once or len(jobs))

    async def in_place(job: BenchJob) -> Outcome:
        async with places:
            return await _serve(engine, job, _request(engine, job, source, guidance_interval), started)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(in_place(job)) for job in jobs]
    return [task.result() for task in tasks]


async def until_compiled() -> None:
    """Wait for what `torch.compile` does in the background, so that only what is warm is measured."""
    for thread in threading.enumerate():
        if thread.name == COMPILING:
            await asyncio.to_thread(thread.join)


async def _serve(engine: Engine, job: BenchJob, request: GenerateRequest, started: float) -> Outcome:
    await asyncio.sleep(max(0.0, job.arrival - (time.perf_counter() - started)))
    first_preview: float | None = None
    async for update in engine.submit(replace(request, submitted_at=time.time())):
        now = time.perf_counter() - started - job.arrival
        if isinstance(update, Progress) and update.previews and first_preview is None:
            first_preview = now
        elif isinstance(update, RequestOutput):
            if update.error is not None:
                raise update.error
            assert update.finish_reason is FinishReason.COMPLETED, "nobody aborts a job of the benchmark"
            return Outcome(
                job=job, first_preview=now if first_preview is None else first_preview, completed=now
            )
    raise AssertionError("every stream ends with its RequestOutput")


def _request(
    engine: Engine, job: BenchJob, source: Path, guidance_interval: tuple[float, float]
) -> GenerateRequest:
    info = engine.models()[0]
    varied = job.kind is Kind.VARIATIONS
    return GenerateRequest(
        request_id=f"bench-{job.number}",
        model=info.name,
        prompt=job.prompt,
        params=SamplingParams(
            num_inference_steps=info.default_steps,
            guidance_scale=info.default_guidance_scale,
            sampler=info.default_sampler,
            width=info.native_width,
            height=info.native_height,
            strength=VARIATION_STRENGTH if varied else 1.0,
            guidance_interval=guidance_interval,
        ),
        seeds=job.seeds,
        operation=Operation.IMAGE_TO_IMAGE if varied else Operation.TEXT_TO_IMAGE,
        init_image=source if varied else None,
        share_key=str(job.user),
    )
