"""Prompts of any length and weight: alone as diffusers computes them, in company without touching the neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import GenerateRequest
from tests.engine.bench import Bench, Result, diffusers_says, make_request
from tests.engine.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose text encoder has CLIP's own window."""
    return write_tiny_model(tmp_path_factory.mktemp("wide"), window=77)


@pytest.fixture(scope="module")
def bench(model: Path) -> Bench:
    return Bench(model)


def with_params(request: GenerateRequest, **changes: Any) -> GenerateRequest:
    return replace(request, params=replace(request.params, **changes))


def diffusers_with(model: Path, request: GenerateRequest, **options: Any) -> Result:
    """The request through diffusers' pipeline, told more than the request's plain parameters."""
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    # Skipping layers, the pipeline looks for the final norm where transformers had it before version 5.
    object.__setattr__(pipeline.text_encoder, "text_model", pipeline.text_encoder)
    params = request.params
    said: dict[str, Any] = {"prompt": request.prompt, "negative_prompt": params.negative_prompt} | options
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


def assert_equal(ours: Result, theirs: Result) -> None:
    assert ours.failure is None
    for index, latents in theirs.latents.items():
        assert torch.equal(ours.latents[index], latents), (ours.latents[index] - latents).abs().max()


def test_a_wide_window_alone(bench: Bench, model: Path) -> None:
    request = make_request(model, prompt="the red cat, sitting")
    assert_equal(bench.run(request)["one"], diffusers_says(model, request))


def test_a_long_prompt_alone(bench: Bench, model: Path) -> None:
    request = make_request(model, prompt="the " * 100)
    pipeline_input = {
        "prompt": None,
        "negative_prompt": None,
        "prompt_embeds": torch.cat([encoded(bench, "the " * 75), encoded(bench, "the " * 25)], dim=1),
        "negative_prompt_embeds": torch.cat([encoded(bench, "dog"), encoded(bench, "")], dim=1),
    }
    with torch.inference_mode():
        theirs = diffusers_with(model, request, **pipeline_input)
    ours = bench.run(request)["one"]
    for index, latents in theirs.latents.items():
        # The encoder reads the two windows in one call here and in two there.
        assert (ours.latents[index] - latents).abs().max() <= 1e-12


def encoded(bench: Bench, text: str) -> torch.Tensor:
    return bench.stage._prompts.encode(text)


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_clip_skip_alone(bench: Bench, model: Path, clip_skip: int) -> None:
    request = with_params(make_request(model), clip_skip=clip_skip)
    assert_equal(bench.run(request)["one"], diffusers_with(model, request, clip_skip=clip_skip))
    plain = bench.run(make_request(model))["one"]
    assert not torch.equal(plain.latents[0], bench.run(request)["one"].latents[0])


def company(model: Path) -> list[GenerateRequest]:
    """Lengths, weights, layers and guidance of every kind; `plain` is what diffusers can be asked too."""
    return [
        make_request(model, "plain"),
        make_request(model, "long", prompt="the " * 100, seeds=(1,)),
        make_request(model, "longer", prompt="a " * 200, negative_prompt="x " * 100, guidance_scale=1.0),
        make_request(model, "weighted", prompt="a (red:1.4) [cat]", sampler="euler_a", num_inference_steps=3),
        make_request(model, "negative", negative_prompt="the " * 80, sampler="unipc"),
        with_params(make_request(model, "skip", sampler="dpmpp_2m_karras"), clip_skip=1),
        make_request(model, "parts", prompt="a cat:: a dog::2", num_inference_steps=6),
    ]


@pytest.mark.parametrize("row_budget", [64, 6])
def test_lengths_in_company(model: Path, row_budget: int) -> None:
    bench = Bench(model, row_budget=row_budget)
    requests = company(model)
    together = bench.run(*requests, joins={"plain": 1, "negative": 2})
    assert max(bench.rows) > 4
    for request in requests:
        alone = bench.run(request)[request.request_id]
        for index, latents in alone.latents.items():
            assert (together[request.request_id].latents[index] - latents).abs().max() <= 1e-10
    plain = diffusers_says(model, requests[0])
    for index, latents in plain.latents.items():
        assert (together["plain"].latents[index] - latents).abs().max() <= 1e-10


def test_exact_mode_is_blind_to_lengths(model: Path) -> None:
    bench = Bench(model, dtype="auto", exact=True)
    requests = company(model)
    together = bench.run(*requests)
    for request in requests:
        alone = bench.run(request)[request.request_id]
        for index, pixels in alone.pixels.items():
            assert np.array_equal(pixels, together[request.request_id].pixels[index])


def test_parts_without_weight_fail_their_request_alone(bench: Bench, model: Path) -> None:
    bad = make_request(model, "bad", prompt="cat:: dog::-2")
    results = bench.run(bad, make_request(model, "good"))
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == "prompt_weights_not_positive"
    assert len(results["good"].pixels) == 2
