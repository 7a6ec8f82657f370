"""Two passes are what two of diffusers' pipelines make by hand, and what was counted is what is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import EngineConfig, GenerateRequest, Hires, RequestRejected
from engine.catalog import read_model
from engine.core import EngineCore
from engine.passes import passes
from engine.scheduler import Scheduler
from engine.validation import validate
from engine.worker.initial_picture import read_initial_picture
from engine.worker.request_state import NamedFiles, RequestState
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    diffusers_says,
    largest_difference,
    make_request,
    with_params,
)
from tests.engine.tiny import SIDE

SMALL = SIDE // 2


@pytest.fixture(scope="module")
def models(tiny_model: Path, tiny_xl: Path) -> dict[str, Path]:
    return {"sd": tiny_model, "xl": tiny_xl}


@pytest.fixture(scope="module")
def benches(models: dict[str, Path]) -> dict[str, Bench]:
    return {name: Bench(folder) for name, folder in models.items()}


def hires_request(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    hires = Hires(width=SMALL, height=SMALL, strength=changes.pop("hires_strength", 0.5))
    return with_params(make_request(model, request_id, **changes), hires=hires)


def by_hand(model: Path, request: GenerateRequest) -> Result:
    """Text-to-image at the small size, Pillow, image-to-image at the large one."""
    kind = "StableDiffusionXL" if (model / "tokenizer_2").is_dir() else "StableDiffusion"
    params, hires = request.params, request.params.hires
    assert hires is not None
    first, second = (
        getattr(diffusers, f"{kind}{task}Pipeline").from_pretrained(model, torch_dtype=torch.float64)
        for task in ("", "Img2Img")
    )
    name, changes = SAMPLERS[params.sampler]
    for pipeline in (first, second):
        pipeline.set_progress_bar_config(disable=True)
        pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config, **changes)
    said: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": params.negative_prompt,
        "num_inference_steps": params.num_inference_steps,
        "guidance_scale": params.guidance_scale,
    }
    result = Result()
    small = first(
        **said,
        width=hires.width,
        height=hires.height,
        num_images_per_prompt=len(request.seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
    ).images
    enlarged = [image.resize((params.width, params.height), Image.Resampling.LANCZOS) for image in small]
    images = second(
        **{
            **said,
            "prompt": [request.prompt] * len(small),
            "negative_prompt": [params.negative_prompt] * len(small),
        },
        image=enlarged,
        strength=hires.strength,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        output_type="latent",
    ).images
    for index in range(len(images)):
        result.latents[index] = images[index : index + 1]
    return result


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "heun", "unipc"])
def test_alone_it_is_two_pipelines(benches: dict[str, Bench], models: dict[str, Path], sampler: str) -> None:
    request = hires_request(models["sd"], sampler=sampler, num_inference_steps=6, seeds=(3,))
    ours = benches["sd"].run(request)["one"]
    assert largest_difference(ours, by_hand(models["sd"], request)) == 0
    assert ours.pixels[0].shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("model", ["sd", "xl"])
def test_a_grid_is_two_pipelines(benches: dict[str, Bench], models: dict[str, Path], model: str) -> None:
    request = hires_request(models[model], sampler="euler", num_inference_steps=5, hires_strength=0.7)
    ours = benches[model].run(request)["one"]
    assert largest_difference(ours, by_hand(models[model], request)) <= 1e-12


@pytest.mark.parametrize("row_budget", [64, 6])
def test_in_company(models: dict[str, Path], row_budget: int) -> None:
    """Pictures of the small size, of the large one, and others on their way from one to the other."""
    model = models["sd"]
    bench = Bench(model, row_budget=row_budget)
    requests = [
        hires_request(model, "two", num_inference_steps=6),
        make_request(model, "small", width=SMALL, height=SMALL, num_inference_steps=9, sampler="euler"),
        make_request(model, "large", num_inference_steps=9),
        hires_request(model, "late", num_inference_steps=3, sampler="euler_a", seeds=(8,)),
        with_params(hires_request(model, "short", num_inference_steps=4), stop=0.5),
    ]
    together = bench.run(*requests, joins={"late": 3})
    for request in (requests[0], requests[3]):
        assert largest_difference(together[request.request_id], by_hand(model, request)) <= 1e-10
    for request in requests[1:3]:
        assert largest_difference(together[request.request_id], diffusers_says(model, request)) <= 1e-10
    assert largest_difference(together["short"], bench.run(requests[4])["short"]) <= 1e-10


def test_exact_mode_is_blind_to_company(models: dict[str, Path]) -> None:
    bench = Bench(models["sd"], dtype="auto", exact=True)
    requests = [hires_request(models["sd"]), make_request(models["sd"], "large")]
    assert_blind_to_company(bench, *requests)


def test_progress_counts_both_passes_and_the_key_changes_once(
    benches: dict[str, Bench], models: dict[str, Path]
) -> None:
    bench = benches["sd"]
    request = hires_request(models["sd"], num_inference_steps=6, seeds=(3,))
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(request, bench.info)
    seen = []
    while (batch := scheduler.schedule()) is not None:
        output = bench.worker.execute(batch, frozenset({"one"}))
        (report,) = output.progress
        seen.append((batch.key.width, report.step, report.steps))
        assert max(output.previews["one", 0].shape[:2]) in (SMALL, SIDE)
        scheduler.update(output.progress)
    assert seen == [(SMALL, step, 9) for step in range(1, 7)] + [(SIDE, step, 9) for step in range(7, 10)]


@pytest.mark.parametrize("after", [2, 6, 7])
def test_it_can_be_aborted_in_either_pass(
    benches: dict[str, Bench], models: dict[str, Path], after: int
) -> None:
    bench = benches["sd"]
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(hires_request(models["sd"], num_inference_steps=6), bench.info)
    for _ in range(after):
        batch = scheduler.schedule()
        assert batch is not None
        scheduler.update(bench.worker.execute(batch, frozenset()).progress)
    assert scheduler.abort("one")
    bench.worker.forget("one")
    assert scheduler.schedule() is None
    assert not bench.worker._runner._states


def test_an_error_between_the_passes_fails_its_request_alone(
    benches: dict[str, Bench], models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(pixels: torch.Tensor) -> Any:
        raise RuntimeError("a kernel failed")

    bench = benches["sd"]
    monkeypatch.setattr(bench.stage._autoencoder, "encode", encode)
    results = bench.run(hires_request(models["sd"], "bad"), make_request(models["sd"], "good"))
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == "generation_failed"
    assert len(results["good"].pixels) == 2


@settings(max_examples=60, deadline=None)
@given(
    sampler=st.sampled_from(sorted(SAMPLERS)),
    steps=st.integers(1, 12),
    strength=st.floats(0.01, 1.0),
    stop=st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
    hires=st.booleans(),
    from_image=st.booleans(),
)
def test_what_is_counted_is_what_is_run(
    benches: dict[str, Bench],
    picture: Path,
    sampler: str,
    steps: int,
    strength: float,
    stop: float,
    hires: bool,
    from_image: bool,
) -> None:
    bench = benches["sd"]
    request = make_request(bench.info.name, sampler=sampler, num_inference_steps=steps, seeds=(1,))
    if hires:
        request = hires_request(
            Path(bench.info.name), sampler=sampler, num_inference_steps=steps, hires_strength=strength
        )
    elif from_image:
        request = make_request(
            bench.info.name, sampler=sampler, num_inference_steps=steps, strength=strength, init_image=picture
        )
    request = with_params(request, stop=stop)
    state = RequestState(request, NamedFiles(picture=read_initial_picture(request)), indices=(0,))
    with torch.inference_mode():
        bench.stage.begin(state)
    assert state.pictures[0].steps == sum(each.steps for each in passes(request, bench.info))


@pytest.mark.parametrize("family", ["flux", "z-image", "auto-pipeline"])
@pytest.mark.parametrize("strength", [0.05, 0.55, 1.0])
def test_other_families_count_as_their_pipelines_do(tmp_path: Path, family: str, strength: float) -> None:
    info = replace(read_model("owner/model", EngineConfig(cache_dir=tmp_path)), family=family)
    request = make_request("owner/model", init_image=Path("x.png"), strength=strength, sampler="flow_euler")
    request = with_params(request, num_inference_steps=10)
    expected = {0.05: 1, 0.55: 6, 1.0: 10}[strength] if family != "auto-pipeline" else 10
    assert [each.steps for each in passes(request, info)] == [expected]


def test_the_core_shows_the_true_number_from_the_start(benches: dict[str, Bench]) -> None:
    info = benches["sd"].info
    request = with_params(make_request(info.name, sampler="heun", num_inference_steps=10), stop=0.5)
    core = EngineCore(_Idle(), {info.name: info}, EngineConfig(), lambda _: None)
    core.add(request)
    assert core._progress("one", with_previews=False).steps == 2 * 10
    waiting = core.scheduler._requests["one"]
    assert waiting.work == 2 * 2 * 10


class _Idle:
    """An executor that is asked for nothing but a model."""

    def load(self, model: str, report: Any) -> None:
        pass


def test_tiles_and_others_never_share_a_batch(benches: dict[str, Bench]) -> None:
    info = benches["sd"].info
    scheduler = Scheduler(64, lambda: 0.0, {info.name})
    scheduler.add(with_params(make_request(info.name, "tiles"), tiling=True), info)
    scheduler.add(make_request(info.name, "plain"), info)
    first = scheduler.schedule()
    assert first is not None
    assert {picture.request.request_id for picture in first.pictures} == {"tiles"}
    assert first.key.padding == "circular"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"hires": Hires(width=SMALL, height=SMALL, strength=0.0)}, "hires_strength_out_of_range"),
        ({"hires": Hires(width=2 * SIDE, height=SMALL)}, "hires_not_smaller"),
        ({"hires": Hires(width=SMALL + 1, height=SMALL)}, "size_unsupported"),
    ],
)
def test_refused_at_the_door(benches: dict[str, Bench], change: dict[str, Any], code: str) -> None:
    info = replace(benches["sd"].info, min_side=8)
    with pytest.raises(RequestRejected) as caught:
        validate(with_params(make_request(info.name), **change), info)
    assert caught.value.code == code


def test_it_begins_with_a_text_alone(benches: dict[str, Bench], picture: Path) -> None:
    request = hires_request(Path(benches["sd"].info.name), init_image=picture)
    with pytest.raises(RequestRejected) as caught:
        validate(request, benches["sd"].info)
    assert caught.value.code == "hires_operation_unsupported"
