"""Z-Image computes what diffusers' pipelines compute, also when pictures of several sizes share a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx import rescale_noise_cfg

from engine import EngineConfig, GenerateRequest
from engine.catalog import Guidance, read_model
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
)
from tests.engine.tiny import SIDE
from tests.engine.worker.models.pipelines import pipeline_of, pipeline_says


@pytest.fixture(scope="module")
def model(tiny_z_image: Path) -> Path:
    return tiny_z_image


def z_image_says(folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    """The same request through diffusers' own pipeline."""
    negative = request.params.negative_prompt
    return pipeline_says(folder, "ZImage", request, dtype, max_sequence_length=96, negative_prompt=negative)


def z_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(model, request_id, **{"sampler": "flow_euler", "guidance_scale": 0.0} | changes)


@pytest.mark.parametrize("guidance_scale", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("size", [(SIDE, SIDE), (48, 20)])
def test_alone(model: Path, guidance_scale: float, size: tuple[int, int]) -> None:
    bench = Bench(model)
    request = z_request(model, guidance_scale=guidance_scale, width=size[0], height=size[1])
    assert_equal(bench.run(request)["one"], z_image_says(model, request))
    assert set(bench.rows) == {2 if guidance_scale == 0 else 4}


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("task", ["image-to-image", "inpaint"])
def test_from_a_picture_alone(
    model: Path, files: Mapping[str, Path], task: str, strength: float, dtype: str
) -> None:
    given = files if task == "inpaint" else {"init_image": files["init_image"]}
    request = z_request(
        model, num_inference_steps=5, strength=strength, seeds=(3,), guidance_scale=2.0, **given
    )
    theirs = z_image_says(model, request, getattr(torch, dtype))
    assert_equal(Bench(model, dtype=dtype, channels_last=False).run(request)["one"], theirs)


def test_bfloat16_latents_are_float32(model: Path) -> None:
    request = z_request(model, guidance_scale=2.0)
    result = Bench(model, dtype="bfloat16").run(request)["one"]
    assert result.latents[0].dtype == torch.float32
    assert_equal(result, z_image_says(model, request, torch.bfloat16))


def company(model: Path, files: Mapping[str, Path]) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Their own sizes, prompt lengths, steps, guidance, seeds and join ticks; one comes from a picture, one has a mask."""
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
    requests += [
        z_request(model, f"{len(given)} files", strength=0.5, num_inference_steps=6, **given)
        for given in ({"init_image": files["init_image"]}, files)
    ]
    return requests, {request.request_id: 2 * index % 3 for index, request in enumerate(requests)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row_budget", [64, 4])
def test_several_sizes_share_a_step(
    model: Path, files: Mapping[str, Path], dtype: str, row_budget: int
) -> None:
    """Latents are float32 in every dtype, and so is the bound."""
    bench = Bench(model, dtype=dtype, row_budget=row_budget)
    requests, joins = company(model, files)
    results = bench.run(*requests, joins=joins)
    if row_budget == 64:
        pictures = sum(
            len(request.seeds) * (2 if request.params.guidance_scale else 1) for request in requests
        )
        assert max(bench.rows) == pictures, "pictures of every size never shared a step"
    for request in requests:
        ours, theirs = results[request.request_id], z_image_says(model, request, getattr(torch, dtype))
        assert largest_difference(ours, theirs) <= 1e-4


def test_exact_mode_is_blind_to_company(model: Path, files: Mapping[str, Path]) -> None:
    bench = Bench(model, dtype="auto", exact=True)
    requests, joins = company(model, files)
    assert_blind_to_company(bench, *requests, joins=joins)


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


def test_guidance_outside_its_interval_is_what_truncation_leaves_out(model: Path) -> None:
    """diffusers says the end of the interval as a time; half of these six steps come before 0.5 of it."""
    request = z_request(model, num_inference_steps=6, guidance_scale=3.0, seeds=(3,))
    times = Bench(model).stage._schedule(request.params, (SIDE, SIDE), 1.0).timesteps
    truncation = (1000 - (times[2] + times[3]) / 2) / 1000
    theirs = pipeline_says(
        model, "ZImage", request, torch.float64, max_sequence_length=96, cfg_truncation=truncation
    )
    params = replace(request.params, guidance_interval=(0.0, 0.5), negative_prompt="")
    bench = Bench(model)
    widths: list[int] = []
    handle = bench.stage._transformer.register_forward_pre_hook(
        lambda module, inputs: widths.append(len(inputs[0]))
    )
    assert_equal(bench.run(replace(request, params=params))["one"], theirs)
    handle.remove()
    assert widths == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("rescale", [0.4, 1.0])
def test_guided_velocities_are_rescaled_as_diffusers_rescales_elsewhere(
    model: Path, monkeypatch: pytest.MonkeyPatch, rescale: float
) -> None:
    """No pipeline of Z-Image offers it; that of LTX, a model of flow matching too, has the function."""
    request = z_request(model, guidance_scale=3.0, seeds=(3,), negative_prompt="")
    pipeline = pipeline_of(model, "ZImagePipeline", torch.float64, request.vae)
    forward, step = pipeline.transformer.forward, pipeline.scheduler.step
    with_text: list[torch.Tensor] = []

    def remembering(*args: Any, **options: Any) -> Any:
        answer = forward(*args, **options)
        with_text[:] = [-answer[0][0].float().squeeze(1)[None]]
        return answer

    def rescaling(velocity: torch.Tensor, *args: Any, **options: Any) -> Any:
        return step(rescale_noise_cfg(velocity, with_text[0], rescale), *args, **options)

    monkeypatch.setattr(pipeline.transformer, "forward", remembering)
    monkeypatch.setattr(pipeline.scheduler, "step", rescaling)
    theirs = pipeline_says(model, "ZImage", request, torch.float64, max_sequence_length=96)
    monkeypatch.undo()
    params = replace(request.params, guidance_rescale=rescale)
    bench = Bench(model)
    company = [
        replace(request, params=params),
        z_request(model, "plain", guidance_scale=3.0),
        z_request(model, "unguided", width=48),
    ]
    assert largest_difference(bench.run(company[0])["one"], theirs) <= 1e-5
    assert largest_difference(bench.run(*company)["one"], theirs) <= 1e-4
    assert not torch.equal(theirs.latents[0], z_image_says(model, request).latents[0])
