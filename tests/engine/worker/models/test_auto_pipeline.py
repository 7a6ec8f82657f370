"""Pipelines without a family: what diffusers makes of a request, stepped, shown and given up by the engine."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

from engine import EngineConfig, GenerateRequest
from engine.catalog import FAMILIES, read_model
from engine.scheduler import Scheduler
from tests.engine.bench import Bench, Result, make_request
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import (
    write_tiny_aura_flow,
    write_tiny_chroma,
    write_tiny_kandinsky,
    write_tiny_pixart,
    write_tiny_stable_diffusion_3,
)

FURTHER: dict[str, Any] = {
    "aura-flow": write_tiny_aura_flow,
    "chroma": write_tiny_chroma,
    "pixart-alpha": partial(write_tiny_pixart, kind="Alpha"),
}
WRITERS = {"pixart": write_tiny_pixart, "sd3": write_tiny_stable_diffusion_3}


@pytest.fixture(scope="module", params=WRITERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def bench(model: Path) -> Bench:
    return Bench(model)


def auto_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(model, request_id, **{"sampler": "own"} | changes)


def pipeline_says(model: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(model, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    params = request.params
    extra = {"use_resolution_binning": False} if "pixart" in model.name else {}
    result = Result()
    for index, seed in enumerate(request.seeds):
        image = pipeline(
            request.prompt,
            negative_prompt=params.negative_prompt,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            height=params.height,
            width=params.width,
            generator=torch.Generator().manual_seed(seed),
            **extra,
        ).images[0]
        result.pixels[index] = np.asarray(image)
    return result


def assert_equal(ours: Result, theirs: Result) -> None:
    assert ours.failure is None
    assert ours.pixels.keys() == theirs.pixels.keys()
    for index, pixels in theirs.pixels.items():
        assert np.array_equal(ours.pixels[index], pixels)


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "auto-pipeline"]


def test_it_is_what_diffusers_makes_step_by_step(bench: Bench, model: Path) -> None:
    request = auto_request(model, num_inference_steps=5)
    assert_equal(bench.run(request)["one"], pipeline_says(model, request))
    assert len(bench.rows) == 5, "one tick per step of the solver"
    assert not running()


def test_a_prior_has_steps_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its latents are no picture, and neither are those of an autoencoder of another kind: no preview is made up."""
    # Kandinsky 2.2 has a family; it stands for its relatives, which are larger and have none.
    name, families = "KandinskyV22CombinedPipeline", dict(FAMILIES)
    monkeypatch.setitem(FAMILIES, "kandinsky", replace(families["kandinsky"], pipelines=()))
    further = (*families["auto-pipeline"].pipelines, name)
    monkeypatch.setitem(FAMILIES, "auto-pipeline", replace(families["auto-pipeline"], pipelines=further))
    model = write_tiny_kandinsky(tmp_path / "model")
    bench = Bench(model, dtype="float32")
    request = auto_request(model, num_inference_steps=3, seeds=(3,))
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(request, bench.info)
    batch = scheduler.schedule()
    assert batch is not None
    output = bench.worker.execute(batch, frozenset({"one"}))
    assert [(report.step, report.steps) for report in output.progress] == [(1, 25 + 3)]
    assert not output.previews
    bench.worker.forget("one")
    assert_equal(bench.run(request)["one"], pipeline_says(model, request, torch.float32))


def test_requests_share_no_step_and_do_not_disturb_each_other(bench: Bench, model: Path) -> None:
    requests = [
        auto_request(
            model, str(index), num_inference_steps=3 + index, prompt=f"{index} cats", width=16 * (2 - index)
        )
        for index in range(2)
    ]
    results = bench.run(*requests, joins={"1": 1})
    assert max(bench.rows) == 4, "two guided pictures of one request"
    for request in requests:
        assert_equal(results[request.request_id], pipeline_says(model, request))


def test_aborting_ends_the_call(bench: Bench, model: Path) -> None:
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(auto_request(model, num_inference_steps=50), bench.info)
    batch = scheduler.schedule()
    assert batch is not None
    output = bench.worker.execute(batch, frozenset({"one"}))
    assert {thumb.shape for thumb in output.previews.values()} == {(SIDE, SIDE, 3)}
    assert [report.step for report in output.progress] == [1, 1]
    threads = running()
    assert len(threads) == 2
    bench.worker.forget("one")
    for thread in threads:
        thread.join(timeout=10)
    assert not running()


@pytest.mark.parametrize("name", FURTHER)
def test_further_pipelines(name: str, tmp_path: Path) -> None:
    """Step by step what diffusers makes; shown where latents are a picture; given up within a step; failed alone."""
    model = FURTHER[name](tmp_path / name)
    bench = Bench(model, dtype="float32")
    request = auto_request(model, num_inference_steps=3, prompt="a cat")
    assert_equal(bench.run(request)["one"], pipeline_says(model, request, torch.float32))
    assert len(bench.rows) == 3, "one tick per step of the solver"
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(request, bench.info)
    batch = scheduler.schedule()
    assert batch is not None
    output = bench.worker.execute(batch, frozenset({"one"}))
    assert [(report.step, report.steps) for report in output.progress] == [(1, 3), (1, 3)]
    packed = name == "chroma"
    assert [thumb.shape for thumb in output.previews.values()] == ([] if packed else [(SIDE, SIDE, 3)] * 2)
    threads = running()
    bench.worker.forget("one")
    for thread in threads:
        thread.join(timeout=10)
    assert not running()
    transformer = bench.stage._pipeline.transformer

    def broken(*_: Any) -> None:
        raise RuntimeError("a kernel failed")

    handle = transformer.register_forward_pre_hook(broken)
    failure = bench.run(request)["one"].failure
    assert failure is not None
    assert failure.code == "generation_failed"
    assert "a kernel failed" in str(failure)
    handle.remove()
    assert bench.run(request)["one"].failure is None
    assert not running()


def test_what_the_pipeline_raises_fails_its_request_alone(bench: Bench, model: Path) -> None:
    call = type(bench.stage)._call

    def broken(request: GenerateRequest, generator: torch.Generator) -> dict[str, Any]:
        values = call(bench.stage, request, generator)
        return values | {"height": 17} if request.request_id == "broken" else values

    bench.stage._call = broken
    good = auto_request(model)
    results = bench.run(auto_request(model, "broken"), good)
    failure = results["broken"].failure
    assert failure is not None
    assert "17" in str(failure)
    assert_equal(results["one"], pipeline_says(model, good))
    assert not running()


def test_what_the_catalogue_says(model: Path, tmp_path: Path) -> None:
    info = read_model(str(model), EngineConfig(cache_dir=tmp_path))
    assert (info.family, info.native_width, info.size_multiple) == ("auto-pipeline", SIDE, 16)
    assert info.samplers == ("own",)
    assert info.memory_bytes > 0


def test_every_pipeline_in_the_table_is_one_of_diffusers() -> None:
    known = {pipeline.__name__ for pipeline in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    ours = set(FAMILIES["auto-pipeline"].pipelines)
    # Kolors needs sentencepiece, without which diffusers leaves it out.
    assert ours - {"KolorsPipeline"} <= known
    others = {name for key, family in FAMILIES.items() if key != "auto-pipeline" for name in family.pipelines}
    assert not ours & others
