"""FLUX.1 computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import EngineConfig, GenerateRequest
from engine.catalog import Guidance, read_model
from engine.catalog.families import DRAWING
from engine.worker.models.flux import TRUE_CFG_SCALE
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
)
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import write_tiny_flux
from tests.engine.worker.models.pipelines import pipeline_says


@pytest.fixture(scope="module")
def dev(tiny_flux: Path) -> Path:
    return tiny_flux


@pytest.fixture(scope="module")
def schnell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_flux(tmp_path_factory.mktemp("flux-schnell"), guidance_embeds=False, seed=1)


def flux_says(folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    """The same request through diffusers' own pipeline."""
    dev = 'guidance_embeds": true' in (folder / "transformer" / "config.json").read_text()
    negative: dict[str, Any] = {}
    if dev and request.params.negative_prompt:
        negative = {
            "negative_prompt": request.params.negative_prompt,
            "true_cfg_scale": TRUE_CFG_SCALE,
        }
    return pipeline_says(folder, "Flux", request, dtype, max_sequence_length=24, **negative)


def flux_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    values = {"sampler": "flow_euler", "guidance_scale": 3.5, "negative_prompt": ""} | changes
    return make_request(model, request_id, **values)


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
@pytest.mark.parametrize("task", ["image-to-image", "inpaint"])
def test_from_a_picture_alone(dev: Path, files: Mapping[str, Path], task: str, strength: float) -> None:
    given = files if task == "inpaint" else {"init_image": files["init_image"]}
    request = flux_request(dev, num_inference_steps=5, strength=strength, seeds=(3,), **given)
    assert_equal(Bench(dev).run(request)["one"], flux_says(dev, request))


def test_schnell_inpaints_too(schnell: Path, files: Mapping[str, Path]) -> None:
    request = flux_request(schnell, strength=0.7, seeds=(3,), **files)
    assert_equal(Bench(schnell).run(request)["one"], flux_says(schnell, request))


def test_what_is_black_in_the_mask_is_kept(dev: Path, files: Mapping[str, Path]) -> None:
    """Latents of two packed rows above the mask are the initial picture's, whatever the seed draws below."""
    bench = Bench(dev)
    states: list[Any] = []
    begin = type(bench.stage).begin
    bench.stage.begin = lambda state: (begin(bench.stage, state), states.append(state))
    result = bench.run(flux_request(dev, seeds=(1,), **files))["one"]
    region = states[0].pictures[0].region
    assert torch.equal(result.latents[0][:, :16], region.original[:, :16])
    assert not torch.equal(result.latents[0], region.original)


def test_a_negative_prompt_is_a_second_row(dev: Path) -> None:
    bench = Bench(dev)
    request = flux_request(dev, negative_prompt="dog")
    result = bench.run(request)["one"]
    assert largest_difference(result, flux_says(dev, request)) <= 1e-10
    assert set(bench.rows) == {4}
    assert not torch.equal(result.latents[0], bench.run(flux_request(dev))["one"].latents[0])


def company(model: Path, files: Mapping[str, Path]) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Their own steps, guidance, seeds and join ticks; one has a negative prompt, two come from a picture, two have a mask."""
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
        flux_request(model, f"{len(given)} {steps}", strength=0.5, num_inference_steps=steps, **given)
        for given in ({"init_image": files["init_image"]}, files)
        for steps in (4, 7)
    ]
    return requests, {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("row_budget", [64, 4])
def test_in_company(dev: Path, files: Mapping[str, Path], dtype: str, bound: float, row_budget: int) -> None:
    bench = Bench(dev, dtype=dtype, row_budget=row_budget)
    requests, joins = company(dev, files)
    results = bench.run(*requests, joins=joins)
    assert max(bench.rows) >= min(row_budget, 6), "the company never shared a step"
    for request in requests:
        reference = flux_says(dev, request, getattr(torch, dtype))
        assert largest_difference(results[request.request_id], reference) <= bound


def test_exact_mode_is_blind_to_company(dev: Path, files: Mapping[str, Path]) -> None:
    bench = Bench(dev, dtype="auto", exact=True)
    requests, joins = company(dev, files)
    assert_blind_to_company(bench, *requests, joins=joins)


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
    assert info.operations == DRAWING
    info = read_model(str(schnell), config)
    assert (info.guidance, info.default_steps, info.default_guidance_scale) == (Guidance.NONE, 4, 0.0)
    assert info.memory_bytes > 0
    absent = read_model("black-forest-labs/FLUX.1-schnell", config)
    assert (absent.family, absent.licence, absent.present) == ("flux", "Apache-2.0", False)
    assert (absent.native_width, absent.size_multiple) == (1024, 16)
