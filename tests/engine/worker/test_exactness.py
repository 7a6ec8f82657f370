"""The engine computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.worker.samplers import SAMPLERS
from tests.engine.bench import (
    Bench,
    assert_blind_to_company,
    assert_equal,
    diffusers_says,
    largest_difference,
    make_request,
)
from tests.engine.likeness import ssim
from tests.engine.tiny import write_tiny_model

ALL = sorted(SAMPLERS)


@pytest.fixture(scope="module")
def bench(tiny_model: Path) -> Bench:
    return Bench(tiny_model)


@pytest.fixture(scope="module")
def bench_v(tiny_v_model: Path) -> Bench:
    return Bench(tiny_v_model)


@pytest.mark.parametrize("sampler", ALL)
@pytest.mark.parametrize("steps", [1, 5])
def test_text_to_image_alone(bench: Bench, tiny_model: Path, sampler: str, steps: int) -> None:
    request = make_request(tiny_model, sampler=sampler, num_inference_steps=steps)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_model, request))


@pytest.mark.parametrize("sampler", ALL)
def test_v_prediction_zero_snr_and_pooled_text(bench_v: Bench, tiny_v_model: Path, sampler: str) -> None:
    request = make_request(tiny_v_model, sampler=sampler, num_inference_steps=4)
    assert_equal(bench_v.run(request)["one"], diffusers_says(tiny_v_model, request))


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m_karras", "unipc"])
def test_long_schedules(bench: Bench, tiny_model: Path, sampler: str) -> None:
    """From 15 steps on, DPM-Solver++ and UniPC choose the orders of their last steps differently."""
    request = make_request(tiny_model, sampler=sampler, num_inference_steps=17, seeds=(9,))
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_model, request))


@pytest.mark.parametrize("guidance_scale", [1.0, 0.0])
def test_without_guidance(bench: Bench, tiny_model: Path, guidance_scale: float) -> None:
    request = make_request(tiny_model, sampler="euler", guidance_scale=guidance_scale)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_model, request))


def test_a_distilled_unet_reads_the_guidance_scale(tmp_path: Path) -> None:
    """Latent consistency models take the scale as a condition, and one row per picture."""
    model = write_tiny_model(tmp_path / "model", time_cond_proj_dim=7)
    bench = Bench(model)
    request = make_request(model, sampler="lcm", guidance_scale=8.5)
    result = bench.run(request)["one"]
    assert_equal(result, diffusers_says(model, request))
    other = bench.run(make_request(model, sampler="lcm", guidance_scale=2.0))["one"]
    assert not torch.equal(result.latents[0], other.latents[0])


def test_sizes_other_than_native(bench: Bench, tiny_model: Path) -> None:
    request = make_request(tiny_model, width=40, height=24)
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_model, request))


@pytest.mark.parametrize("sampler", ALL)
def test_image_to_image_alone(bench: Bench, tiny_model: Path, picture: Path, sampler: str) -> None:
    request = make_request(
        tiny_model, sampler=sampler, num_inference_steps=6, strength=0.6, init_image=picture
    )
    assert_equal(bench.run(request)["one"], diffusers_says(tiny_model, request))


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_image_to_image_strengths(bench_v: Bench, tiny_v_model: Path, picture: Path, strength: float) -> None:
    request = make_request(tiny_v_model, num_inference_steps=5, strength=strength, init_image=picture)
    assert_equal(bench_v.run(request)["one"], diffusers_says(tiny_v_model, request))


def company(model: Path, picture: Path) -> tuple[list, dict[str, int]]:
    """Every sampler with its own steps, guidance, seeds and join tick; one unguided, one from a picture."""
    requests = [
        make_request(
            model,
            sampler,
            sampler=sampler,
            num_inference_steps=3 + index,
            guidance_scale=1.0 if sampler in ("lcm", "tcd") else 2.0 + index,
            seeds=tuple(range(index, index + 1 + index % 3)),
            prompt=f"a {sampler[0]} cat",
        )
        for index, sampler in enumerate(ALL)
    ]
    requests.append(make_request(model, "varied", sampler="euler_a", strength=0.5, init_image=picture))
    return requests, {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}


@pytest.mark.parametrize("row_budget", [64, 6])
def test_in_company_float64(tiny_model: Path, picture: Path, row_budget: int) -> None:
    bench = Bench(tiny_model, row_budget=row_budget)
    requests, joins = company(tiny_model, picture)
    results = bench.run(*requests, joins=joins)
    assert max(bench.rows) > 4, "the company never shared a step"
    for request in requests:
        assert largest_difference(results[request.request_id], diffusers_says(tiny_model, request)) <= 1e-10


def test_in_company_float32(tiny_model: Path, picture: Path) -> None:
    bench = Bench(tiny_model, dtype="float32")
    requests, joins = company(tiny_model, picture)
    results = bench.run(*requests, joins=joins)
    for request in requests:
        reference = diffusers_says(tiny_model, request, torch.float32)
        assert largest_difference(results[request.request_id], reference) <= 1e-4


def test_bfloat16_noise_does_not_depend_on_neighbours(tiny_model: Path, picture: Path) -> None:
    """Rounding differs with the width of a batch; what is drawn does not, so the pictures stay alike."""
    bench = Bench(tiny_model, dtype="bfloat16")
    requests, joins = company(tiny_model, picture)
    together = bench.run(*requests, joins=joins)
    for request in requests:
        alone = bench.run(request)[request.request_id]
        for index, pixels in alone.pixels.items():
            assert ssim(pixels, together[request.request_id].pixels[index]) >= 0.97


def test_exact_mode_is_blind_to_company(
    tiny_model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    bench = Bench(tiny_model, dtype="auto", exact=True)
    assert not torch.backends.cudnn.allow_tf32, "on NVIDIA's cards float32 has to be float32"
    requests, joins = company(tiny_model, picture)
    results = assert_blind_to_company(bench, *requests, joins=joins)
    latents = [latents for result in results.values() for latents in result.latents.values()]
    assert {each.dtype for each in latents} == {torch.float32}


def test_the_same_request_twice_gives_the_same_bytes(tiny_model: Path) -> None:
    bench = Bench(tiny_model, dtype="float32")
    request = make_request(tiny_model, sampler="euler_a")
    first, second = (bench.run(request)["one"] for _ in range(2))
    assert all(first.pixels[i].tobytes() == second.pixels[i].tobytes() for i in (0, 1))
    assert first.pixels[0].tobytes() != first.pixels[1].tobytes()
