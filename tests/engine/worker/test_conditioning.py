"""Prompts of any length and weight: alone as diffusers computes them, in company without touching the neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import GenerateRequest, RequestRejected
from engine.validation import validate
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    diffusers_says,
    fresh_pipeline,
    largest_difference,
    make_request,
    run_pipeline,
    with_params,
)
from tests.engine.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose text encoder has CLIP's own window."""
    return write_tiny_model(tmp_path_factory.mktemp("wide"), window=77)


@pytest.fixture(scope="module")
def bench(model: Path) -> Bench:
    return Bench(model)


def diffusers_with(model: Path, request: GenerateRequest, **options: Any) -> Result:
    """The request through diffusers' pipeline, told more than the request's plain parameters."""
    pipeline = fresh_pipeline(model)
    # Skipping layers, the pipeline looks for the final norm where transformers had it before version 5.
    object.__setattr__(pipeline.text_encoder, "text_model", pipeline.text_encoder)
    return run_pipeline(pipeline, request, **options)


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
def test_lengths_in_company(bench: Bench, model: Path, row_budget: int) -> None:
    crowd = Bench(model, row_budget=row_budget)
    requests = company(model)
    together = crowd.run(*requests, joins={"plain": 1, "negative": 2})
    assert max(crowd.rows) > 4
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10
    assert largest_difference(together["plain"], diffusers_says(model, requests[0])) <= 1e-10


def test_exact_mode_is_blind_to_lengths(model: Path) -> None:
    bench = Bench(model, dtype="auto", exact=True)
    assert_blind_to_company(bench, *company(model))


def test_parts_without_weight_fail_their_request_alone(bench: Bench, model: Path) -> None:
    bad = make_request(model, "bad", prompt="cat:: dog::-2")
    results = bench.run(bad, make_request(model, "good"))
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == "prompt_weights_not_positive"
    assert len(results["good"].pixels) == 2


@pytest.mark.parametrize("guidance_rescale", [0.3, 1.0])
def test_guidance_rescale_alone(bench: Bench, model: Path, guidance_rescale: float) -> None:
    request = with_params(make_request(model), guidance_rescale=guidance_rescale)
    theirs = diffusers_with(model, request, guidance_rescale=guidance_rescale)
    assert_equal(bench.run(request)["one"], theirs)


def test_outside_its_interval_guidance_costs_no_row(bench: Bench, model: Path) -> None:
    """As one who turns guidance off and on in diffusers' callback."""
    pipeline = fresh_pipeline(model)
    request = with_params(
        make_request(model, num_inference_steps=8, seeds=(3,)), guidance_interval=(0.25, 0.75)
    )
    unet, rows = pipeline.unet.forward, []

    def forward(sample: torch.Tensor, *args: Any, encoder_hidden_states: torch.Tensor, **options: Any) -> Any:
        step = len(rows)
        rows.append(len(sample))
        if 2 <= step < 6:
            return unet(sample, *args, encoder_hidden_states=encoder_hidden_states, **options)
        (only,) = unet(sample[1:], *args, encoder_hidden_states=encoder_hidden_states[1:], **options)
        return (torch.cat([only, only]),)

    pipeline.unet.forward = forward
    latents = pipeline(
        request.prompt,
        negative_prompt=request.params.negative_prompt,
        num_inference_steps=8,
        guidance_scale=request.params.guidance_scale,
        width=request.params.width,
        height=request.params.height,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    counted: list[int] = []
    handle = bench.stage._unet.register_forward_pre_hook(
        lambda module, inputs: counted.append(len(inputs[0]))
    )
    result = bench.run(request)["one"]
    handle.remove()
    assert (result.latents[0] - latents).abs().max() <= 1e-10
    assert counted == [1, 1, 2, 2, 2, 2, 1, 1]


def test_a_picture_that_stops_early_is_what_its_last_step_foresaw(bench: Bench, model: Path) -> None:
    pipeline = fresh_pipeline(model)
    request = with_params(make_request(model, num_inference_steps=7, seeds=(3,)), stop=0.4)
    step, foreseen = pipeline.scheduler.step, []

    def recording(*args: Any, **options: Any) -> Any:
        answer = step(*args, **(options | {"return_dict": True}))
        foreseen.append(answer.pred_original_sample)
        return (answer.prev_sample,)

    pipeline.scheduler.step = recording
    pipeline(
        request.prompt,
        negative_prompt=request.params.negative_prompt,
        num_inference_steps=7,
        guidance_scale=request.params.guidance_scale,
        width=request.params.width,
        height=request.params.height,
        generator=torch.Generator().manual_seed(3),
    )
    with torch.inference_mode():
        decoded = pipeline.vae.decode(foreseen[2] / pipeline.vae.config.scaling_factor).sample
    expected = (decoded * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).float().numpy()
    bench.rows.clear()
    result = bench.run(request)["one"]
    assert len(bench.rows) == 3, "40 % of 7 steps are 3"
    assert np.abs(result.pixels[0].astype(float) - (expected * 255).round()).max() <= 1


def test_tiling_joins_the_edges(bench: Bench, model: Path) -> None:
    """Nothing tells one place from another any more: noise that is shifted makes the same picture, shifted."""
    stage = bench.stage
    request = with_params(make_request(model, seeds=(3,), num_inference_steps=2), tiling=True)
    draw = stage._noise
    plain = bench.run(request)["one"]
    stage._noise = lambda *args: draw(*args).roll((4, 6), dims=(2, 3))
    try:
        shifted = bench.run(request)["one"]
        untiled = bench.run(with_params(request, tiling=False))["one"]
    finally:
        del stage._noise
    rolled = plain.latents[0].roll((4, 6), dims=(2, 3))
    assert (shifted.latents[0] - rolled).abs().max() <= 1e-10
    pixels = np.roll(plain.pixels[0], (8, 12), axis=(0, 1)).astype(int)
    assert np.abs(shifted.pixels[0].astype(int) - pixels).max() <= 1
    assert (untiled.latents[0] - rolled).abs().max() > 1e-6


def test_every_way_of_guiding_in_company(bench: Bench, model: Path) -> None:
    requests = [
        make_request(model, "plain"),
        with_params(make_request(model, "interval", num_inference_steps=6), guidance_interval=(0.3, 0.8)),
        with_params(make_request(model, "rescaled", sampler="euler_a"), guidance_rescale=0.7),
        with_params(make_request(model, "tiled", sampler="dpmpp_2m_karras"), tiling=True),
        with_params(make_request(model, "stopped", num_inference_steps=9), stop=0.5),
        make_request(model, "unguided", guidance_scale=1.0),
    ]
    together = bench.run(*requests, joins={"plain": 1})
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10
    assert largest_difference(together["plain"], diffusers_says(model, requests[0])) <= 1e-10


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"clip_skip": 0}, "clip_skip_out_of_range"),
        ({"guidance_rescale": 1.1}, "guidance_rescale_out_of_range"),
        ({"guidance_interval": (0.8, 0.2)}, "guidance_interval_out_of_range"),
        ({"guidance_interval": (float("nan"), 1.0)}, "guidance_interval_out_of_range"),
        ({"stop": 0.0}, "stop_out_of_range"),
    ],
)
def test_refused_at_the_door(bench: Bench, model: Path, change: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(make_request(model), **change), bench.info)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "change", [{"clip_skip": 1}, {"stop": 0.5}, {"tiling": True}, {"guidance_rescale": 0.5}]
)
def test_other_families_refuse_what_they_do_not_read(
    bench: Bench, model: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(make_request(model), **change), replace(bench.info, family="another"))
    assert caught.value.code == f"{next(iter(change))}_unsupported"
