"""SDXL reads prompts, LoRAs and guidance as Stable Diffusion does: as diffusers' SDXL pipeline computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.worker.lora.names import original_name
from engine.worker.prompts.encoder import Reading
from tests.engine.bench import (
    Bench,
    assert_equal,
    diffusers_says,
    fresh_pipeline,
    largest_difference,
    make_request,
    run_pipeline,
    with_params,
)
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.lora.files import write_lora


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose text encoders have CLIP's own window."""
    return write_tiny_xl(tmp_path_factory.mktemp("wide-xl"), window=77)


@pytest.fixture(scope="module")
def bench(model: Path) -> Bench:
    return Bench(model)


@pytest.fixture(scope="module")
def files(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loras")
    return {
        naming: write_lora(folder / f"{naming}.safetensors", model, naming=naming, seed=seed)
        for seed, naming in enumerate(("peft", "kohya", "ldm"))
    }


def test_a_long_prompt_alone(bench: Bench, model: Path) -> None:
    request = make_request(model, prompt="the " * 100)
    ours = bench.run(request)["one"]
    first, second = bench.stage._prompts, bench.stage._prompts_2

    def chunk(text: str) -> torch.Tensor:
        return torch.cat([first.encode(text), second.encode(text)], dim=-1)

    with torch.inference_mode():
        theirs = run_pipeline(
            fresh_pipeline(model),
            request,
            prompt=None,
            negative_prompt=None,
            prompt_embeds=torch.cat([chunk("the " * 75), chunk("the " * 25)], dim=1),
            negative_prompt_embeds=torch.cat([chunk("dog"), chunk("")], dim=1),
            pooled_prompt_embeds=second.pooled("the " * 75),
            negative_pooled_prompt_embeds=second.pooled("dog"),
        )
    assert largest_difference(ours, theirs) <= 1e-12
    assert ours.latents[0].shape == theirs.latents[0].shape


def test_without_a_text_the_negative_stays_zeros_at_any_length(bench: Bench, model: Path) -> None:
    request = make_request(model, prompt="the " * 100, negative_prompt="")
    assert bench.run(request)["one"].failure is None
    cond, pooled, uncond, uncond_pooled = bench.stage._encode("the " * 100, "", Reading())
    assert cond.shape == uncond.shape == (1, 154, 40)
    assert not uncond.any()
    assert not uncond_pooled.any()
    assert pooled.any()


@pytest.mark.parametrize("clip_skip", [1])
def test_clip_skip_alone(bench: Bench, model: Path, clip_skip: int) -> None:
    request = with_params(make_request(model), clip_skip=clip_skip)
    theirs = run_pipeline(fresh_pipeline(model), request, clip_skip=clip_skip)
    assert_equal(bench.run(request)["one"], theirs)
    assert largest_difference(bench.run(make_request(model))["one"], theirs) > 0


def test_more_layers_than_there_are_cannot_be_skipped(bench: Bench, model: Path) -> None:
    failure = bench.run(with_params(make_request(model), clip_skip=2))["one"].failure
    assert failure is not None
    assert (failure.code, failure.values["maximum"]) == ("clip_skip_out_of_range", 1)


@pytest.mark.parametrize("guidance_rescale", [0.3, 1.0])
def test_guidance_rescale_alone(bench: Bench, model: Path, guidance_rescale: float) -> None:
    request = with_params(make_request(model), guidance_rescale=guidance_rescale)
    theirs = run_pipeline(fresh_pipeline(model), request, guidance_rescale=guidance_rescale)
    assert_equal(bench.run(request)["one"], theirs)


def test_outside_its_interval_guidance_costs_no_row(bench: Bench, model: Path) -> None:
    request = with_params(
        make_request(model, num_inference_steps=8, seeds=(3,)), guidance_interval=(0.25, 0.75)
    )
    counted: list[int] = []
    handle = bench.stage._unet.register_forward_pre_hook(lambda _, inputs: counted.append(len(inputs[0])))
    assert bench.run(request)["one"].failure is None
    handle.remove()
    assert counted == [1, 1, 2, 2, 2, 2, 1, 1]


def test_a_picture_that_stops_early_runs_fewer_steps(bench: Bench, model: Path) -> None:
    bench.rows.clear()
    result = bench.run(with_params(make_request(model, num_inference_steps=7), stop=0.4))["one"]
    assert len(bench.rows) == 3, "40 % of 7 steps are 3"
    assert len(result.pixels) == 2


def test_tiling_joins_the_edges(bench: Bench, model: Path) -> None:
    stage = bench.stage
    request = with_params(make_request(model, seeds=(3,), num_inference_steps=2), tiling=True)
    draw = stage._noise
    plain = bench.run(request)["one"]
    stage._noise = lambda *args: draw(*args).roll((4, 6), dims=(2, 3))
    try:
        shifted = bench.run(request)["one"]
    finally:
        del stage._noise
    assert (shifted.latents[0] - plain.latents[0].roll((4, 6), dims=(2, 3))).abs().max() <= 1e-10
    pixels = np.roll(plain.pixels[0], (8, 12), axis=(0, 1)).astype(int)
    assert np.abs(shifted.pixels[0].astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("naming", ["peft", "kohya", "ldm"])
def test_a_lora_alone(bench: Bench, model: Path, files: dict[str, Path], naming: str) -> None:
    pytest.importorskip("peft")
    request = make_request(model, adapters=((files[naming], 0.7),))
    pipeline = fresh_pipeline(model)
    pipeline.load_lora_weights(files[naming].parent, weight_name=files[naming].name, adapter_name="one")
    pipeline.set_adapters(["one"], adapter_weights=[0.7])
    assert largest_difference(bench.run(request)["one"], run_pipeline(pipeline, request)) <= 1e-10
    assert largest_difference(bench.run(request)["one"], bench.run(make_request(model))["one"]) > 1e-6


@pytest.mark.parametrize("row_budget", [64, 6])
def test_everything_in_company(bench: Bench, model: Path, files: dict[str, Path], row_budget: int) -> None:
    crowd = Bench(model, row_budget=row_budget)
    requests = [
        make_request(model, "plain"),
        make_request(model, "long", prompt="the " * 100, seeds=(1,)),
        make_request(model, "weighted", prompt="a (red:1.4) [cat]", sampler="euler_a", num_inference_steps=3),
        make_request(model, "parts", prompt="a cat:: a dog::2", num_inference_steps=6),
        make_request(model, "lora", adapters=((files["peft"], 0.7), (files["ldm"], -0.3))),
        make_request(model, "unguided", adapters=((files["ldm"], 1.0),), guidance_scale=1.0),
        with_params(make_request(model, "skip", sampler="dpmpp_2m_karras"), clip_skip=1),
        with_params(make_request(model, "interval", num_inference_steps=6), guidance_interval=(0.3, 0.8)),
        with_params(make_request(model, "rescaled", sampler="euler"), guidance_rescale=0.7),
        with_params(make_request(model, "tiled"), tiling=True),
        with_params(make_request(model, "stopped", num_inference_steps=9), stop=0.5),
    ]
    together = crowd.run(*requests, joins={"plain": 1, "lora": 2})
    assert max(crowd.rows) > 4
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10
    assert largest_difference(together["plain"], diffusers_says(model, requests[0])) <= 1e-10


def test_prompts_that_come_again_are_not_encoded_again(bench: Bench, model: Path) -> None:
    bench.run(make_request(model, prompt="seen", num_inference_steps=1))
    known = len(bench.stage._prompts_2._encoded)
    bench.run(make_request(model, "again", prompt="seen", num_inference_steps=1, seeds=(9,)))
    assert len(bench.stage._prompts_2._encoded) == known


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("conv_in", "input_blocks.0.0"),
        ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        (
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k",
            "input_blocks.4.1.transformer_blocks.0.attn1.to_k",
        ),
        ("down_blocks.2.attentions.1.proj_out", "input_blocks.8.1.proj_out"),
        ("mid_block.resnets.1.conv_shortcut", "middle_block.2.skip_connection"),
        ("mid_block.attentions.0.proj_in", "middle_block.1.proj_in"),
        ("up_blocks.0.attentions.2.proj_in", "output_blocks.2.1.proj_in"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("up_blocks.2.resnets.2.time_emb_proj", "output_blocks.8.0.emb_layers.1"),
        ("add_embedding.linear_2", "label_emb.0.2"),
    ],
)
def test_names_of_the_layers_of_the_real_model(name: str, original: str) -> None:
    from types import SimpleNamespace

    blocks = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    config = SimpleNamespace(layers_per_block=2, up_block_types=blocks)
    assert original_name(config, name) == original
