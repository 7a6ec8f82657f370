"""Stable unCLIP computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableUnCLIPImg2ImgPipeline, StableUnCLIPPipeline
from PIL import Image

from engine import EngineConfig, GenerateRequest, Operation, Reference
from engine.catalog import read_model
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
    with_params,
)
from tests.engine.tiny import SIDE
from tests.engine.tiny_cascade import write_tiny_stable_unclip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_stable_unclip(tmp_path_factory.mktemp("stable-unclip"))


@cache
def pipeline_of(folder: Path, made: Any) -> Any:
    pipeline = made.from_pretrained(folder, torch_dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def diffusers_says(folder: Path, request: GenerateRequest) -> Result:
    """The same request through diffusers' own pipelines; variations one by one, as they would share the embedding's noise."""
    params = request.params
    made = StableUnCLIPPipeline if request.reference is None else StableUnCLIPImg2ImgPipeline
    pipeline = pipeline_of(folder, made)
    name, changes = SAMPLERS[params.sampler]
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    pipeline.scheduler = getattr(diffusers, name).from_config(config, **changes)
    options: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": params.negative_prompt,
        "num_inference_steps": params.num_inference_steps,
        "guidance_scale": params.guidance_scale,
        "width": params.width,
        "height": params.height,
    }
    together = [list(request.seeds)]
    if request.reference is None:
        options["prior_num_inference_steps"] = params.prior_num_inference_steps
        options["prior_guidance_scale"] = params.prior_guidance_scale
    else:
        [(path, _)] = request.reference.pictures
        options["image"] = Image.open(path)
        together = [[seed] for seed in request.seeds]
    result = Result()
    for seeds in together:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        extra = {"num_images_per_prompt": len(seeds), "output_type": "latent"}
        latents = pipeline(generator=generators, **extra, **options).images
        for row in range(len(seeds)):
            result.latents[len(result.latents)] = latents[row : row + 1]
    return result


def ask(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(model, request_id, **changes)


def vary(model: Path, picture: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    reference = Reference(pictures=((picture, 1.0),), **changes.pop("reference", {}))
    return ask(model, request_id, operation=Operation.VARIATION, reference=reference, **changes)


@pytest.mark.parametrize(
    ("guidance_scale", "prior_guidance_scale"), [(1.0, 1.0), (1.0, 4.0), (5.0, 1.0), (5.0, 2.0)]
)
def test_text_alone(model: Path, guidance_scale: float, prior_guidance_scale: float) -> None:
    request = with_params(
        ask(model, guidance_scale=guidance_scale),
        prior_guidance_scale=prior_guidance_scale,
        prior_num_inference_steps=5,
    )
    assert_equal(Bench(model).run(request)["one"], diffusers_says(model, request))


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m"])
def test_a_picture_alone(model: Path, files: Mapping[str, Path], sampler: str) -> None:
    request = vary(model, files["init_image"], sampler=sampler, width=SIDE, height=2 * SIDE)
    for seed in request.seeds:
        single = make_single(request, seed)
        assert_equal(Bench(model).run(single)["one"], diffusers_says(model, single))


def make_single(request: GenerateRequest, seed: int) -> GenerateRequest:
    return GenerateRequest(**{**vars(request), "seeds": (seed,)})


def company(model: Path, picture: Path) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Texts of several sizes and pictures with their own steps, that join in the midst of each other's stages."""
    requests = [
        with_params(
            ask(
                model,
                str(index),
                prompt=f"a {'red ' * index}cat",
                num_inference_steps=3 + index,
                guidance_scale=1.0 + 2 * index,
                width=SIDE * (1 + index // 2),
                seeds=tuple(range(index, 2 * index + 1)),
            ),
            prior_num_inference_steps=2 + index,
            prior_guidance_scale=1.0 + index,
        )
        for index in range(3)
    ]
    requests.append(vary(model, picture, "picture", num_inference_steps=5, seeds=(7, 8)))
    return requests, {request.request_id: 2 * tick for tick, request in enumerate(requests)}


def test_company_changes_nothing(model: Path, files: Mapping[str, Path]) -> None:
    requests, joins = company(model, files["init_image"])
    bench = Bench(model)
    together = bench.run(*requests, joins=joins)
    assert max(bench.rows) > 4, "steps are shared"
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10


def test_exact_is_blind_to_company(model: Path, files: Mapping[str, Path]) -> None:
    requests, joins = company(model, files["init_image"])
    assert_blind_to_company(Bench(model, exact=True, dtype="float32"), *requests, joins=joins)


def test_blends_lie_between(model: Path, files: Mapping[str, Path], tmp_path: Path) -> None:
    """With all the weight on one side it is that picture, nearly."""
    other = tmp_path / "other.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(other)
    bench = Bench(model)

    def blend(weight: float) -> Result:
        pictures = ((files["init_image"], 1.0), (other, weight))
        request = ask(
            model, seeds=(3,), operation=Operation.VARIATION, reference=Reference(pictures=pictures)
        )
        return bench.alone(request)

    alone = bench.alone(vary(model, files["init_image"], seeds=(3,)))
    assert largest_difference(blend(1e-6), alone) < 1e-4 < largest_difference(blend(1.0), alone)


def test_a_folder_for_variations_alone(model: Path, files: Mapping[str, Path], tmp_path: Path) -> None:
    """It says what it cannot do; a difference of texts is refused with a sentence."""
    folder = tmp_path / "variations"
    shutil.copytree(model, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index = {name: value for name, value in index.items() if not name.startswith("prior")}
    (folder / "model_index.json").write_text(
        json.dumps(index | {"_class_name": "StableUnCLIPImg2ImgPipeline"})
    )
    for part in folder.glob("prior*"):
        shutil.rmtree(part)
    info = read_model(str(folder), EngineConfig(models=(str(folder),)))
    assert info.operations == (Operation.VARIATION,)
    bench = Bench(folder)
    one = bench.run(vary(folder, files["init_image"]))["one"]
    assert_equal(one, Bench(model).run(vary(model, files["init_image"]))["one"])
    moved = bench.run(vary(folder, files["init_image"], reference={"moved_from": "a dog"}))["one"]
    assert moved.failure is not None
    assert moved.failure.code == "text_difference_unsupported"


def test_the_catalogue_says_what_it_can_do(model: Path) -> None:
    info = read_model(str(model), EngineConfig(models=(str(model),)))
    assert info.family == "stable-unclip"
    assert info.operations == (Operation.TEXT_TO_IMAGE, Operation.VARIATION)
    assert (info.native_width, info.default_sampler) == (SIDE, "ddim")
