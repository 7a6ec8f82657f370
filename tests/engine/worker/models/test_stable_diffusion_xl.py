"""SDXL computes what diffusers' SDXL pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch

from engine import EngineConfig, ModelUnavailable
from engine.catalog import read_model
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import Bench, assert_equal, diffusers_says, largest_difference, make_request
from tests.engine.tiny import SIDE
from tests.engine.tiny_xl import write_tiny_xl

ALL = sorted(SAMPLERS)
CONFIG = EngineConfig(cache_dir=Path("nowhere"))


@pytest.fixture(scope="module")
def bench(tiny_xl: Path) -> Bench:
    return Bench(tiny_xl)


@pytest.mark.parametrize("sampler", ALL)
def test_text_to_image_alone(bench: Bench, tiny_xl: Path, sampler: str) -> None:
    request = make_request(tiny_xl, sampler=sampler)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_xl, request))


@pytest.mark.parametrize("sampler", ["euler", "euler_a", "heun", "dpmpp_2m_sde", "ddim"])
def test_image_to_image_alone(bench: Bench, tiny_xl: Path, picture: Path, sampler: str) -> None:
    request = make_request(tiny_xl, sampler=sampler, num_inference_steps=6, strength=0.6, init_image=picture)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_xl, request))


@pytest.mark.parametrize("force_zeros", [True, False])
def test_without_a_negative_prompt(tmp_path: Path, force_zeros: bool) -> None:
    """SDXL's base was trained with zeros in its place; some of its descendants were not."""
    model = write_tiny_xl(tmp_path / "model", force_zeros_for_empty_prompt=force_zeros)
    request = make_request(model, sampler="euler", num_inference_steps=2, negative_prompt="")
    assert_equal(Bench(model).run(request)["one"], diffusers_says(model, request))


def test_sizes_other_than_native_reach_the_unet(bench: Bench, tiny_xl: Path) -> None:
    request = make_request(tiny_xl, sampler="euler", width=40, height=24)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_xl, request))


def test_a_few_steps_without_guidance(tmp_path: Path) -> None:
    """Turbo and Lightning: trailing spacing from the scheduler's configuration, and one row per picture."""
    scheduler = diffusers.EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    model = write_tiny_xl(tmp_path / "model", scheduler=scheduler)
    info = read_model(str(model), CONFIG)
    assert (info.default_sampler, info.default_steps, info.default_guidance_scale) == ("euler_a", 4, 1.0)
    bench = Bench(model)
    for steps in (1, 4):
        request = make_request(model, sampler="euler_a", num_inference_steps=steps, guidance_scale=0.0)
        assert_equal(bench.run(request)["one"], diffusers_says(model, request))
    assert set(bench.rows) == {2}


def test_a_consistency_model_reads_the_guidance_scale(tmp_path: Path) -> None:
    model = write_tiny_xl(tmp_path / "model", time_cond_proj_dim=8)
    request = make_request(model, sampler="lcm", guidance_scale=8.0)
    assert_equal(Bench(model).run(request)["one"], diffusers_says(model, request))


def test_in_company(tiny_xl: Path, picture: Path) -> None:
    bench = Bench(tiny_xl)
    requests = [
        make_request(
            tiny_xl,
            sampler,
            sampler=sampler,
            num_inference_steps=2 + index % 5,
            guidance_scale=1.0 if sampler in ("lcm", "tcd") else 2.0 + index,
            negative_prompt="" if index % 2 else "dog",
            seeds=tuple(range(index, index + 1 + index % 2)),
            prompt=f"a {sampler[0]} cat",
        )
        for index, sampler in enumerate(ALL)
    ]
    requests.append(make_request(tiny_xl, "varied", sampler="euler_a", strength=0.5, init_image=picture))
    joins = {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}
    results = bench.run(*requests, joins=joins)
    assert max(bench.rows) > 4, "the company never shared a step"
    for request in requests:
        assert largest_difference(results[request.request_id], diffusers_says(tiny_xl, request)) <= 1e-10


def test_the_autoencoder_stays_out_of_float16(tiny_xl: Path, picture: Path) -> None:
    """It overflows there, as its configuration says; pictures come back black."""
    bench = Bench(tiny_xl, dtype="float16")
    request = make_request(tiny_xl, num_inference_steps=2, strength=0.9, init_image=picture)
    result = bench.run(request)["one"]
    assert result.failure is None
    assert next(bench.stage._autoencoder.vae.parameters()).dtype == torch.float32
    assert {latents.dtype for latents in result.latents.values()} == {torch.float16}
    assert result.pixels[0].std() > 0


def test_what_the_folder_says(tiny_xl: Path) -> None:
    info = read_model(str(tiny_xl), CONFIG)
    assert (info.family, info.native_width, info.default_sampler) == ("stable-diffusion-xl", SIDE, "euler")
    assert (info.default_steps, info.default_guidance_scale) == (30, 5.0)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("model_index.json", {"requires_aesthetics_score": True}, "refiner"),
        ("vae/config.json", {"latents_mean": [0, 0, 0, 0]}, "EDM"),
        ("unet/config.json", {"addition_embed_type": "image"}, "image conditions"),
    ],
)
def test_relatives_that_are_refused(tmp_path: Path, file: str, change: dict[str, object], says: str) -> None:
    folder = write_tiny_xl(tmp_path / "model")
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | change))
    with pytest.raises(ModelUnavailable, match=says):
        read_model(str(folder), CONFIG)
