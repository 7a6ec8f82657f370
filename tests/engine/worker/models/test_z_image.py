"""Z-Image computes what diffusers' pipelines compute, also when pictures of several sizes share a step."""

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
from tests.engine.bench import Bench, Result, make_request
from tests.engine.tiny_transformers import SIDE, write_tiny_z_image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_z_image(tmp_path_factory.mktemp("z-image"))


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


def z_image_says(folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    """The same request through diffusers' own pipeline; from a picture, one seed at a time, as it shares encodings."""
    params = request.params
    from_image = request.init_image is not None
    pipeline = _pipeline(folder, "ZImageImg2ImgPipeline" if from_image else "ZImagePipeline", dtype)
    extra: dict[str, Any] = {}
    if from_image:
        extra = {"image": Image.open(request.init_image).convert("RGB"), "strength": params.strength}
    together = [[seed] for seed in request.seeds] if from_image else [list(request.seeds)]
    result = Result()
    for seeds in together:
        last: dict[str, torch.Tensor] = {}

        def keep(_: Any, step: int, time: Any, values: Any, last: Any = last) -> dict[str, torch.Tensor]:
            last.update(values)
            return {}

        images = pipeline(
            request.prompt,
            negative_prompt=params.negative_prompt,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            callback_on_step_end=keep,
            max_sequence_length=pipeline.tokenizer.model_max_length,
            height=params.height,
            width=params.width,
            **extra,
        ).images
        for row, image in enumerate(images):
            index = len(result.latents)
            result.pixels[index] = np.asarray(image)
            result.latents[index] = last["latents"][row : row + 1]
    return result


def z_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(model, request_id, **{"sampler": "flow_euler", "guidance_scale": 0.0} | changes)


def assert_equal(ours: Result, theirs: Result) -> None:
    assert ours.failure is None
    assert ours.latents.keys() == theirs.latents.keys()
    for index, latents in theirs.latents.items():
        assert torch.equal(ours.latents[index], latents), (ours.latents[index] - latents).abs().max()
        assert np.array_equal(ours.pixels[index], theirs.pixels[index])


@pytest.mark.parametrize("guidance_scale", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("size", [(SIDE, SIDE), (48, 20)])
def test_alone(model: Path, guidance_scale: float, size: tuple[int, int]) -> None:
    bench = Bench(model)
    request = z_request(model, guidance_scale=guidance_scale, width=size[0], height=size[1])
    assert_equal(bench.run(request)["one"], z_image_says(model, request))
    assert set(bench.rows) == {2 if guidance_scale == 0 else 4}


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_image_to_image_alone(model: Path, picture: Path, strength: float) -> None:
    request = z_request(model, num_inference_steps=5, strength=strength, init_image=picture, seeds=(3,))
    assert_equal(Bench(model).run(request)["one"], z_image_says(model, request))


def test_bfloat16_latents_are_float32(model: Path) -> None:
    request = z_request(model, guidance_scale=2.0)
    result = Bench(model, dtype="bfloat16").run(request)["one"]
    assert result.latents[0].dtype == torch.float32
    assert_equal(result, z_image_says(model, request, torch.bfloat16))


def company(model: Path, picture: Path) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Their own sizes, prompt lengths, steps, guidance, seeds and join ticks; one comes from a picture."""
    requests = [
        z_request(
            model,
            str(index),
            width=width,
            height=height,
            num_inference_steps=3 + index,
            guidance_scale=1.5 * (index % 2),
            seeds=tuple(range(index, 2 * index + 1)),
            prompt=f"a {'very ' * 3 * index}red cat",
        )
        for index, (width, height) in enumerate([(32, 32), (48, 24), (20, 40)])
    ]
    requests.append(z_request(model, "varied", strength=0.5, num_inference_steps=6, init_image=picture))
    return requests, {request.request_id: 2 * index % 3 for index, request in enumerate(requests)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row_budget", [64, 4])
def test_several_sizes_share_a_step(model: Path, picture: Path, dtype: str, row_budget: int) -> None:
    """Latents are float32 in every dtype, and so is the bound."""
    bench = Bench(model, dtype=dtype, row_budget=row_budget)
    requests, joins = company(model, picture)
    results = bench.run(*requests, joins=joins)
    if row_budget == 64:
        pictures = sum(
            len(request.seeds) * (2 if request.params.guidance_scale else 1) for request in requests
        )
        assert max(bench.rows) == pictures, "pictures of every size never shared a step"
    for request in requests:
        ours, theirs = results[request.request_id], z_image_says(model, request, getattr(torch, dtype))
        assert ours.failure is None
        assert ours.latents.keys() == theirs.latents.keys()
        for index, latents in theirs.latents.items():
            assert float((ours.latents[index] - latents).abs().max()) <= 1e-4


def test_exact_mode_is_blind_to_company(model: Path, picture: Path) -> None:
    bench = Bench(model, dtype="auto", exact=True)
    requests, joins = company(model, picture)
    together = bench.run(*requests, joins=joins)
    for request in requests:
        alone = bench.run(request)[request.request_id]
        for index, latents in alone.latents.items():
            assert torch.equal(latents, together[request.request_id].latents[index])


def test_long_prompts_say_what_is_cut_off(model: Path) -> None:
    bench = Bench(model)
    assert bench.stage._unread_words("a red cat, " * 12)[-3:] == ("a", "red", "cat")
    assert bench.stage._unread_words("a red cat") == ()
    assert bench.run(z_request(model, prompt="a red cat " * 12))["one"].failure is None


def test_what_the_catalogue_says(model: Path, tmp_path: Path) -> None:
    config = EngineConfig(cache_dir=tmp_path)
    info = read_model(str(model), config)
    assert (info.family, info.guidance, info.size_multiple) == ("z-image", Guidance.FROM_ZERO, 4)
    turbo = read_model("Tongyi-MAI/Z-Image-Turbo", config)
    assert (turbo.family, turbo.licence, turbo.default_steps) == ("z-image", "Apache-2.0", 8)
    assert (turbo.default_guidance_scale, turbo.size_multiple) == (0.0, 16)
