"""What the engine is held against: plain diffusers pipelines, job by job or in static batches of equal jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from engine.benchmark.mix import VARIATION_STRENGTH, BenchJob, Kind
from engine.benchmark.outcome import Outcome
from engine.catalog import ModelInfo, locate_model
from engine.config import EngineConfig
from engine.worker.device import resolve_device, resolve_dtype
from engine.worker.samplers import SAMPLERS


class Baseline:
    """One model in diffusers' own pipelines, with the engine's dtype, sampler and steps."""

    def __init__(self, info: ModelInfo, config: EngineConfig, source: Path) -> None:
        """`source` is the picture that variations start from."""
        diffusers.utils.logging.disable_progress_bar()
        path = locate_model(info.name, config)
        device = resolve_device(config.device)
        dtype = resolve_dtype(config, device)
        if path is not None and path.is_file():
            from_text: Any = diffusers.StableDiffusionPipeline.from_single_file(
                str(path),
                torch_dtype=dtype,
                config=str(config.model_config_dir) if config.model_config_dir else None,
            )
        else:
            from_text = diffusers.AutoPipelineForText2Image.from_pretrained(
                path or info.name, torch_dtype=dtype, local_files_only=path is not None or config.offline
            )
        name, changes = SAMPLERS[info.default_sampler]
        from_text.scheduler = getattr(diffusers, name).from_config(from_text.scheduler.config, **changes)
        self._text_to_image = from_text.to(device)
        self._image_to_image = diffusers.AutoPipelineForImage2Image.from_pipe(from_text)
        for pipeline in (self._text_to_image, self._image_to_image):
            pipeline.set_progress_bar_config(disable=True)
        self._info = info
        with Image.open(source) as picture:
            self._source = picture.convert("RGB")

    def run(self, jobs: Sequence[BenchJob], *, most_rows: int = 0) -> list[Outcome]:
        """Serve the jobs as they arrive, oldest first, in real time.

        `most_rows` above 0 lets a job take every waiting job of its kind along, while their rows stay within it.
        """
        waiting = sorted(jobs, key=lambda job: job.arrival)
        outcomes: list[Outcome] = []
        nobody = threading.Event()  # Set by nobody: it waits for the next arrival.
        started = time.perf_counter()
        while waiting:
            nobody.wait(max(0.0, waiting[0].arrival - (time.perf_counter() - started)))
            batch = self._batch(waiting, time.perf_counter() - started, most_rows)
            waiting = [job for job in waiting if job not in batch]
            first_step = self._make(batch)
            finished = time.perf_counter() - started
            outcomes += [
                Outcome(
                    job=job,
                    first_preview=first_step - started - job.arrival,
                    completed=finished - job.arrival,
                )
                for job in batch
            ]
        return outcomes

    @staticmethod
    def _batch(waiting: Sequence[BenchJob], now: float, most_rows: int) -> list[BenchJob]:
        batch = [waiting[0]]
        rows = 2 * len(waiting[0].seeds)
        for job in waiting[1:]:
            width = 2 * len(job.seeds)
            if job.arrival <= now and job.kind is waiting[0].kind and rows + width <= most_rows:
                batch.append(job)
                rows += width
        return batch

    def _make(self, batch: Sequence[BenchJob]) -> float:
        """Make the pictures of jobs of one kind in one call; returns the clock's reading after the first step."""
        first_step = 0.0

        def on_step(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            nonlocal first_step
            first_step = first_step or time.perf_counter()
            return values

        info = self._info
        options: dict[str, Any] = {
            "prompt": [job.prompt for job in batch for _ in job.seeds],
            "num_inference_steps": info.default_steps,
            "guidance_scale": info.default_guidance_scale,
            "generator": [torch.Generator("cpu").manual_seed(seed) for job in batch for seed in job.seeds],
            "callback_on_step_end": on_step,
        }
        if batch[0].kind is Kind.VARIATIONS:
            size = (info.native_width, info.native_height)
            images = [self._source.resize(size)] * len(options["prompt"])
            self._image_to_image(image=images, strength=VARIATION_STRENGTH, **options)
        else:
            self._text_to_image(width=info.native_width, height=info.native_height, **options)
        return first_step
