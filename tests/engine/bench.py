"""A worker and a scheduler, driven tick by tick, beside what diffusers makes of the same request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from engine import EngineConfig, GenerateRequest, GenerationFailed, Operation, SamplingParams
from engine.scheduler import Scheduler
from engine.worker.samplers import SAMPLERS
from engine.worker.worker import Worker
from tests.engine.tiny import SIDE

PROMPT = "a red cat"


def make_request(model: Path | str, request_id: str = "one", **changes: Any) -> GenerateRequest:
    """A small request; `changes` reach SamplingParams and GenerateRequest by name."""
    params = {
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "sampler": "ddim",
        "width": SIDE,
        "height": SIDE,
        "negative_prompt": "dog",
        "strength": 1.0,
    }
    params |= {name: changes.pop(name) for name in list(changes) if name in params}
    values: dict[str, Any] = {"prompt": PROMPT, "seeds": (3, 4), "submitted_at": 0.0} | changes
    if values.get("init_image") is not None:
        values.setdefault("operation", Operation.INPAINT if values.get("mask") else Operation.IMAGE_TO_IMAGE)
    return GenerateRequest(request_id=request_id, model=str(model), params=SamplingParams(**params), **values)


@dataclass
class Result:
    """Latents (1, c, h, w) and pixels by picture, and how it failed."""

    latents: dict[int, torch.Tensor] = field(default_factory=dict)
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    failure: GenerationFailed | None = None


class Bench:
    """One loaded model."""

    def __init__(self, folder: Path, *, row_budget: int = 64, **config: Any) -> None:
        self.config = EngineConfig(**{"models": (str(folder),), "device": "cpu", "dtype": "float64"} | config)
        self.worker = Worker(self.config)
        self.info = self.worker.load(str(folder), lambda _: None)
        self.family = self.worker._residency.family(str(folder))
        self.stage = self.family.stages[0]
        self.row_budget = row_budget
        self.rows: list[int] = []
        self._alone: dict[GenerateRequest, Result] = {}

    def alone(self, request: GenerateRequest) -> Result:
        """The request by itself, remembered for those who compare with it again."""
        if request not in self._alone:
            self._alone[request] = self.run(request)[request.request_id]
        return self._alone[request]

    def run(self, *requests: GenerateRequest, joins: Mapping[str, int] | None = None) -> dict[str, Result]:
        """Run requests, each joining at its tick (0 unless `joins` says otherwise), until all have ended."""
        scheduler = Scheduler(self.row_budget, lambda: 0.0, {self.info.name})
        results = {request.request_id: Result() for request in requests}
        last = self.family.stages[-1]
        finish = type(last).finish

        def record(pictures: Any) -> Any:
            for picture in pictures:
                results[picture.request_id].latents[picture.index] = picture.latents
            return finish(last, pictures)

        last.finish = record
        waiting = sorted(requests, key=lambda request: (joins or {}).get(request.request_id, 0))
        tick = 0
        while waiting or len(scheduler):
            while waiting and (joins or {}).get(waiting[0].request_id, 0) <= tick:
                self._add(scheduler, waiting.pop(0), results)
            tick += 1
            batch = scheduler.schedule()
            if batch is None:
                continue
            self.rows.append(batch.rows)
            output = self.worker.execute(batch, frozenset(r.request_id for r in requests))
            if output.row_budget is not None:
                scheduler.row_budget = output.row_budget
            for request_id, ready in output.finished:
                results[request_id].pixels[ready.index] = ready.pixels
            scheduler.update(output.progress)
            for request_id in output.unprepared:
                request = next(one for one in requests if one.request_id == request_id)
                self.worker.prepare(replace(request, model=batch.key.model))
            for model in {report.next_key.model for report in output.progress if report.next_key is not None}:
                if model not in scheduler.ready:
                    self.worker.load(model, lambda _: None)
                    scheduler.ready.add(model)
            for request_id, failure in output.failures.items():
                scheduler.abort(request_id)
                results[request_id].failure = failure
        del last.finish
        for copy in scheduler.ready - {self.info.name}:
            self.worker.evict(copy)
        runner = self.worker._runner
        assert not runner._states, "the worker still holds requests that have ended"
        assert not len(runner._weights)
        return results

    def _add(self, scheduler: Scheduler, request: GenerateRequest, results: dict[str, Result]) -> None:
        """What the core does on another thread while others step: prepare, then schedule or fail."""
        try:
            if request.names_files:
                self.worker.prepare(request)
        except GenerationFailed as failure:
            results[request.request_id].failure = failure
        else:
            scheduler.add(request, self.info)


def with_params(request: GenerateRequest, **changes: Any) -> GenerateRequest:
    return replace(request, params=replace(request.params, **changes))


def assert_equal(ours: Result, theirs: Result) -> None:
    """Latents bit for bit, and pixels where `theirs` has some."""
    assert largest_difference(ours, theirs) == 0
    for index, pixels in theirs.pixels.items():
        assert np.array_equal(ours.pixels[index], pixels)


def assert_blind_to_company(
    bench: Bench, *requests: GenerateRequest, joins: Mapping[str, int] | None = None
) -> dict[str, Result]:
    """Each request comes out of the company of the others, bit for bit, as it does alone; returns what comes out."""
    together = bench.run(*requests, joins=joins)
    for request in requests:
        assert_equal(bench.run(request)[request.request_id], together[request.request_id])
    return together


def largest_difference(ours: Result, theirs: Result) -> float:
    """Of the latents of all pictures."""
    assert ours.failure is None, ours.failure
    assert ours.latents.keys() == theirs.latents.keys()
    return max(float((ours.latents[i] - theirs.latents[i]).abs().max()) for i in theirs.latents)


@cache
def _pipeline(folder: Path, kind: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """A pipeline and the scheduler configuration that it made of the model's own."""
    pipeline = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, pipeline.scheduler.config


@cache
def diffusers_says(folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    """The same request through diffusers' own pipeline."""
    params = request.params
    from_image = request.init_image is not None
    xl = (folder / "text_encoder_2").is_dir()
    task = "Inpaint" if request.mask else "Img2Img" if from_image else ""
    kind = f"StableDiffusion{'XL' if xl else ''}{task}Pipeline"
    pipeline, config = _pipeline(folder, kind, dtype)
    name, changes = SAMPLERS[params.sampler]
    pipeline.scheduler = getattr(diffusers, name).from_config(config, **changes)
    last: dict[str, torch.Tensor] = {}

    def keep(
        pipeline: Any, step: int, timestep: Any, values: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        last.update(values)
        return values

    extra: dict[str, Any] = {"height": params.height, "width": params.width}
    if from_image:
        image = {"image": Image.open(request.init_image).convert("RGB"), "strength": params.strength}
        extra = image | extra | {"mask_image": Image.open(request.mask)} if request.mask else image
    if params.sampler == "tcd":
        extra["eta"] = 0.3  # The scheduler's own default and the paper's; the pipelines would pass DDIM's 0.
    images = pipeline(
        request.prompt,
        # For SDXL no negative prompt is another thing than an empty one, and what the engine's empty one means.
        negative_prompt=(params.negative_prompt or None) if xl else params.negative_prompt,
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        num_images_per_prompt=len(request.seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        callback_on_step_end=keep,
        **extra,
    ).images
    result = Result()
    for index, image in enumerate(images):
        result.pixels[index] = np.asarray(image)
        result.latents[index] = last["latents"][index : index + 1]
    return result


def fresh_pipeline(model: Path) -> Any:
    """One that a test may change."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run_pipeline(pipeline: Any, request: GenerateRequest, **options: Any) -> Result:
    """The request through a pipeline of diffusers; `options` are said to it besides or instead."""
    params = request.params
    said: dict[str, Any] = {"prompt": request.prompt, "negative_prompt": params.negative_prompt} | options
    name, changes = SAMPLERS[params.sampler]
    pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config, **changes)
    latents = pipeline(
        **said,
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        width=params.width,
        height=params.height,
        num_images_per_prompt=len(request.seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        output_type="latent",
    ).images
    return Result({index: latents[index : index + 1] for index in range(len(request.seeds))})
