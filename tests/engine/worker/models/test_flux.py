"""FLUX.1 computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine import EngineConfig, GenerateRequest
from engine.catalog import Guidance, read_model
from engine.worker.models.flux import TRUE_CFG_SCALE
from tests.engine.bench import Bench, Result, make_request
from tests.engine.tiny_transformers import SIDE, write_tiny_flux


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_flux(tmp_path_factory.mktemp("flux-dev"))


@pytest.fixture(scope="module")
def schnell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_flux(tmp_path_factory.mktemp("flux-schnell"), guidance_embeds=False, seed=1)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@cache
def _pipeline(folder: Path, kind: str, dtype: torch.dtype) -> Any:
    pipeline = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def flux_says(folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    """The same request through diffusers' own pipeline; from a picture, one seed at a time, as it shares encodings."""
    params = request.params
    from_image = request.init_image is not None
    pipeline = _pipeline(folder, "FluxImg2ImgPipeline" if from_image else "FluxPipeline", dtype)
    extra: dict[str, Any] = {}
    if from_image:
        extra = {"image": Image.open(request.init_image).convert("RGB"), "strength": params.strength}
    if params.negative_prompt and pipeline.transformer.config.guidance_embeds:
        extra |= {"negative_prompt": params.negative_prompt, "true_cfg_scale": TRUE_CFG_SCALE}
    together = [[seed] for seed in request.seeds] if from_image else [list(request.seeds)]
    result = Result()
    for seeds in together:
        last: dict[str, torch.Tensor] = {}

        def keep(_: Any, step: int, time: Any, values: Any, last: Any = last) -> dict[str, torch.Tensor]:
            last.update(values)
            return {}

        images = pipeline(
            request.prompt,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            callback_on_step_end=keep,
            max_sequence_length=pipeline.tokenizer_2.model_max_length,
            height=params.height,
            width=params.width,
            **extra,
        ).images
        for row, image in enumerate(images):
            index = len(result.latents)
            result.pixels[index] = np.asarray(image)
            result.latents[index] = last["latents"][row : row + 1]
    return result


def flux_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    values = {"sampler": "flow_euler", "guidance_scale": 3.5, "negative_prompt": ""} | changes
    return make_request(model, request_id, **values)


def assert_equal(ours: Result, theirs: Result) -> None:
    assert ours.failure is None
    assert ours.latents.keys() == theirs.latents.keys()
    for index, latents in theirs.latents.items():
        assert torch.equal(ours.latents[index], latents), (ours.latents[index] - latents).abs().max()
        assert np.array_equal(ours.pixels[index], theirs.pixels[index])


def largest_difference(ours: Result, theirs: Result) -> float:
    assert ours.failure is None
    assert ours.latents.keys() == theirs.latents.keys()
    return max(float((ours.latents[i] - theirs.latents[i]).abs().max()) for i in theirs.latents)


@pytest.mark.parametrize("steps", [1, 4])
def test_dev_alone(dev: Path, steps: int) -> None:
    request = flux_request(dev, num_inference_steps=steps)
    bench = Bench(dev)
    assert_equal(bench.run(request)["one"], flux_says(dev, request))
    assert set(bench.rows) == {2}, "the guidance scale is a condition, no second row"


def test_schnell_alone_reads_neither_guidance_nor_a_negative_prompt(schnell: Path) -> None:
    bench = Bench(schnell)
    request = flux_request(schnell, guidance_scale=0.0)
    result = bench.run(request)["one"]
    assert_equal(result, flux_says(schnell, request))
    other = bench.run(flux_request(schnell, guidance_scale=7.0, negative_prompt="dog"))["one"]
    assert torch.equal(result.latents[0], other.latents[0])
    assert set(bench.rows) == {2}


def test_the_schedule_is_shifted_by_size(dev: Path) -> None:
    bench = Bench(dev)
    request = flux_request(dev, width=48, height=16)
    assert_equal(bench.run(request)["one"], flux_says(dev, request))
    sampler = bench.stage._sampler
    assert sampler.schedule((1.0, 0.5), 4096).timesteps[1] > sampler.schedule((1.0, 0.5), 64).timesteps[1]


@pytest.mark.parametrize("strength", [0.1, 0.6, 1.0])
def test_image_to_image_alone(dev: Path, picture: Path, strength: float) -> None:
    request = flux_request(dev, num_inference_steps=5, strength=strength, init_image=picture, seeds=(3,))
    assert_equal(Bench(dev).run(request)["one"], flux_says(dev, request))


def test_a_negative_prompt_is_a_second_row(dev: Path) -> None:
    bench = Bench(dev)
    request = flux_request(dev, negative_prompt="dog")
    result = bench.run(request)["one"]
    assert largest_difference(result, flux_says(dev, request)) <= 1e-10
    assert set(bench.rows) == {4}
    assert not torch.equal(result.latents[0], bench.run(flux_request(dev))["one"].latents[0])


def company(model: Path, picture: Path) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Their own steps, guidance, seeds and join ticks; one has a negative prompt, two come from a picture."""
    requests = [
        flux_request(
            model,
            str(index),
            num_inference_steps=3 + index,
            guidance_scale=1.0 + index,
            seeds=tuple(range(index, 2 * index + 1)),
            negative_prompt="dog" if index == 1 else "",
            prompt=f"a {'red ' * index}cat",
        )
        for index in range(3)
    ]
    requests += [
        flux_request(model, f"varied {steps}", strength=0.5, num_inference_steps=steps, init_image=picture)
        for steps in (4, 7)
    ]
    return requests, {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("row_budget", [64, 4])
def test_in_company(dev: Path, picture: Path, dtype: str, bound: float, row_budget: int) -> None:
    bench = Bench(dev, dtype=dtype, row_budget=row_budget)
    requests, joins = company(dev, picture)
    results = bench.run(*requests, joins=joins)
    assert max(bench.rows) >= min(row_budget, 6), "the company never shared a step"
    for request in requests:
        reference = flux_says(dev, request, getattr(torch, dtype))
        assert largest_difference(results[request.request_id], reference) <= bound


def test_exact_mode_is_blind_to_company(dev: Path, picture: Path) -> None:
    bench = Bench(dev, dtype="auto", exact=True)
    requests, joins = company(dev, picture)
    together = bench.run(*requests, joins=joins)
    for request in requests:
        alone = bench.run(request)[request.request_id]
        for index, latents in alone.latents.items():
            assert torch.equal(latents, together[request.request_id].latents[index])


def test_bfloat16_steps_as_diffusers_does(dev: Path) -> None:
    request = flux_request(dev)
    result = Bench(dev, dtype="bfloat16").run(request)["one"]
    assert_equal(result, flux_says(dev, request, torch.bfloat16))


def test_previews_show_the_picture_and_long_prompts_say_what_is_cut_off(dev: Path) -> None:
    bench = Bench(dev)
    request = flux_request(dev, prompt="a red cat " * 12, seeds=(1,), num_inference_steps=2)
    previews = []
    preview = type(bench.stage).preview

    def record(pictures: Any) -> Any:
        previews.extend(preview(bench.stage, pictures))
        return previews[-len(pictures) :]

    bench.stage.preview = record
    assert bench.run(request)["one"].failure is None
    assert [thumb.shape for thumb in previews] == [(SIDE, SIDE, 3)]
    assert "cat" in bench.stage._unread_words(request.prompt)
    assert bench.stage._unread_words("a red cat") == ()


def test_what_the_catalogue_says(dev: Path, schnell: Path, tmp_path: Path) -> None:
    config = EngineConfig(cache_dir=tmp_path)
    info = read_model(str(dev), config)
    assert (info.family, info.guidance, info.default_steps) == ("flux", Guidance.EMBEDDED, 28)
    assert (info.default_guidance_scale, info.default_sampler, info.size_multiple) == (3.5, "flow_euler", 4)
    info = read_model(str(schnell), config)
    assert (info.guidance, info.default_steps, info.default_guidance_scale) == (Guidance.NONE, 4, 0.0)
    assert info.memory_bytes > 0
    absent = read_model("black-forest-labs/FLUX.1-schnell", config)
    assert (absent.family, absent.licence, absent.present) == ("flux", "Apache-2.0", False)
    assert (absent.native_width, absent.size_multiple) == (1024, 16)
