"""Kandinsky 2.2 computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine import GenerateRequest, Operation, Reference
from engine.passes import passes
from engine.request import Hires
from engine.scheduler import Scheduler
from engine.worker.image_embeddings import between
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
    with_params,
)
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import write_tiny_kandinsky


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_kandinsky(tmp_path_factory.mktemp("kandinsky"))


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_kandinsky(tmp_path_factory.mktemp("kandinsky-inpaint"), seed=1, inpaints=True)


@pytest.fixture(scope="module")
def loaded(model: Path) -> Bench:
    return Bench(model)


@pytest.fixture
def bench(loaded: Bench) -> Bench:
    loaded.rows.clear()
    return loaded


@pytest.fixture(scope="module")
def inpaint_bench(inpainter: Path) -> Bench:
    return Bench(inpainter)


@cache
def _pipeline(folder: Path, kind: str, dtype: torch.dtype) -> Any:
    pipeline = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def kandinsky_says(
    folder: Path, request: GenerateRequest, dtype: torch.dtype = torch.float64, **options: Any
) -> Result:
    """The same request through diffusers' own pipelines.

    One seed at a time where there is a negative prompt, as the prior's pipeline draws its noise beside the other's out of a
    single generator; and from a picture, as the pipelines encode it once more for every seed.
    """
    params = request.params
    task = "Inpaint" if request.mask else "Img2Img" if request.init_image else ""
    pipeline = _pipeline(folder, f"KandinskyV22{task}CombinedPipeline", dtype)
    if request.init_image is not None:
        options |= {"image": Image.open(request.init_image).convert("RGB")}
    if request.mask is not None:
        options |= {"mask_image": Image.open(request.mask)}
    elif request.init_image is not None:
        options |= {"strength": params.strength}
    own = pipeline.scheduler
    if params.sampler != "ddpm":
        config = {name: value for name, value in own.config.items() if name != "variance_type"}
        name, changes = SAMPLERS[params.sampler]
        pipeline.decoder_pipe.scheduler = getattr(diffusers, name).from_config(config, **changes)
    apart = bool(params.negative_prompt) or request.init_image is not None
    result = Result()
    last: dict[str, torch.Tensor] = {}

    def keep(_: Any, step: int, time: Any, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        last.update(values)
        return {}

    for seeds in [[seed] for seed in request.seeds] if apart else [list(request.seeds)]:
        images = pipeline(
            prompt=request.prompt,
            negative_prompt=params.negative_prompt or None,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            prior_num_inference_steps=params.prior_num_inference_steps,
            prior_guidance_scale=params.prior_guidance_scale,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            callback_on_step_end=keep,
            height=params.height,
            width=params.width,
            **options,
        ).images
        for row, image in enumerate(images):
            index = len(result.latents)
            result.pixels[index] = np.asarray(image)
            result.latents[index] = last["latents"][row : row + 1]
    pipeline.decoder_pipe.scheduler = own
    return result


def ask(
    model: Path, request_id: str = "one", *, prior: Mapping[str, Any] | None = None, **changes: Any
) -> GenerateRequest:
    """`prior`: what its stage reads of the parameters."""
    request = make_request(model, request_id, **{"sampler": "ddpm", "negative_prompt": ""} | changes)
    return with_params(request, **{"prior_num_inference_steps": 3} | dict(prior or {}))


def vary(model: Path, *pictures: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    reference = Reference(pictures=tuple((path, 1.0) for path in pictures), **changes.pop("reference", {}))
    values: dict[str, Any] = {"operation": Operation.VARIATION, "reference": reference, "prompt": ""}
    return ask(model, request_id, **values | changes)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("prior_guidance_scale", [1.0, 4.0])
def test_text_alone(bench: Bench, model: Path, guidance_scale: float, prior_guidance_scale: float) -> None:
    request = ask(model, guidance_scale=guidance_scale, prior={"prior_guidance_scale": prior_guidance_scale})
    assert_equal(bench.run(request)["one"], kandinsky_says(model, request))


@pytest.mark.parametrize("prior_guidance_scale", [1.0, 4.0])
def test_a_negative_prompt_alone(bench: Bench, model: Path, prior_guidance_scale: float) -> None:
    prior = {"prior_guidance_scale": prior_guidance_scale}
    request = ask(model, negative_prompt="dog", seeds=(3,), prior=prior)
    result = bench.run(request)["one"]
    assert_equal(result, kandinsky_says(model, request))
    assert not torch.equal(
        result.latents[0], bench.run(ask(model, seeds=(3,), prior=prior))["one"].latents[0]
    )


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_from_a_picture_alone(bench: Bench, model: Path, files: Mapping[str, Path], strength: float) -> None:
    request = ask(model, num_inference_steps=5, strength=strength, seeds=(3,), init_image=files["init_image"])
    assert_equal(bench.run(request)["one"], kandinsky_says(model, request))


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_inpaint_alone(
    inpaint_bench: Bench, inpainter: Path, files: Mapping[str, Path], guidance_scale: float
) -> None:
    request = ask(inpainter, guidance_scale=guidance_scale, seeds=(3,), **files)
    assert_equal(inpaint_bench.run(request)["one"], kandinsky_says(inpainter, request))


def test_what_is_black_in_the_mask_is_kept(bench: Bench, model: Path, files: Mapping[str, Path]) -> None:
    """By a model too that was not made for it."""
    result = bench.run(ask(model, strength=0.8, **files))["one"]
    picture = torch.from_numpy(np.array(Image.open(files["init_image"]))).permute(2, 0, 1)[None]
    with torch.no_grad():
        kept = bench.family._shared.autoencoder.encode(picture.double() / 127.5 - 1).latents
    torch.testing.assert_close(result.latents[0][:, :, :3], kept[:, :, :3], rtol=0, atol=1e-6)
    assert not torch.allclose(result.latents[0], kept)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_other_samplers_alone(bench: Bench, model: Path, sampler: str) -> None:
    request = ask(model, sampler=sampler)
    assert_equal(bench.run(request)["one"], kandinsky_says(model, request))


@pytest.mark.parametrize(
    "scheduler",
    [
        {"clip_sample": True, "clip_sample_range": 1.5},
        {"thresholding": True, "sample_max_value": 2.0},
        {"variance_type": "fixed_small"},
        {"variance_type": "fixed_small_log", "timestep_spacing": "trailing"},
        {"variance_type": "fixed_large", "prediction_type": "sample"},
    ],
)
def test_schedulers_of_other_configurations(tmp_path: Path, scheduler: dict[str, Any]) -> None:
    model = write_tiny_kandinsky(tmp_path / "model", scheduler=scheduler)
    request = ask(model)
    assert_equal(Bench(model).run(request)["one"], kandinsky_says(model, request))


@cache
def decoder_says(model: Path, request: GenerateRequest, embedding: Any) -> Result:
    """The request through diffusers' decoder, given what a prior would have drawn."""
    combined = _pipeline(model, "KandinskyV22CombinedPipeline", torch.float64)
    count, params = len(request.seeds), request.params
    latents = combined.decoder_pipe(
        image_embeds=embedding.repeat(count, 1),
        negative_image_embeds=combined.prior_pipe.get_zero_embed(count),
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        height=params.height,
        width=params.width,
        output_type="latent",
    ).images
    return Result({index: latents[index : index + 1] for index in range(count)})


@torch.no_grad()
def embedding_of(model: Path, path: Path) -> torch.Tensor:
    prior = _pipeline(model, "KandinskyV22CombinedPipeline", torch.float64).prior_pipe
    pixels = prior.image_processor(Image.open(path), return_tensors="pt").pixel_values
    return prior.image_encoder(pixels.double()).image_embeds


def test_a_variation_alone(bench: Bench, model: Path, files: Mapping[str, Path]) -> None:
    request = vary(model, files["init_image"])
    ours = bench.run(request)["one"]
    assert_equal(ours, decoder_says(model, request, embedding_of(model, files["init_image"])))
    assert len(bench.rows) == request.params.num_inference_steps, "there is no prior to run"


def test_a_blend_meets_on_the_sphere(bench: Bench, model: Path, files: Mapping[str, Path]) -> None:
    pictures = files["init_image"], files["mask"]
    one, other = (embedding_of(model, path) for path in pictures)
    request = vary(model, *pictures)
    assert_equal(bench.run(request)["one"], decoder_says(model, request, between(one, other, 0.5)))
    strip = bench.run(vary(model, *pictures, reference={"strip": True}, seeds=(3, 3, 3)))["one"]
    for cell, request in ((0, vary(model, pictures[0])), (2, vary(model, pictures[1]))):
        alone = bench.run(with_seeds(request, 3))["one"]
        assert float((alone.latents[0] - strip.latents[cell]).abs().max()) <= 1e-10


def with_seeds(request: GenerateRequest, *seeds: int) -> GenerateRequest:
    return GenerateRequest(**{**vars(request), "seeds": seeds})


def test_a_text_difference_turns_a_variation(bench: Bench, model: Path, files: Mapping[str, Path]) -> None:
    picture = files["init_image"]
    plain = bench.run(vary(model, picture, prompt="a cat"))["one"]
    assert_equal(plain, bench.run(vary(model, picture))["one"])
    moved = {"moved_from": "a dog", "turn": 0.4}
    turned = bench.run(vary(model, picture, prompt="a cat", reference=moved))["one"]
    assert not torch.allclose(turned.latents[0], plain.latents[0])


def company(model: Path, files: Mapping[str, Path]) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Their own steps, guidance, samplers, seeds, sizes and join ticks; some from pictures, one with a negative prompt."""
    picture = {"init_image": files["init_image"]}
    requests = [
        ask(model, "0", guidance_scale=1.0, seeds=(0,)),
        ask(model, "1", num_inference_steps=6, prior={"prior_num_inference_steps": 5}),
        ask(model, "2", negative_prompt="dog", prior={"prior_guidance_scale": 2.0}),
        ask(model, "3", sampler="ddim", prior={"prior_guidance_scale": 1.0}),
        ask(model, "4", strength=0.5, num_inference_steps=7, **picture),
        ask(model, "5", width=SIDE // 2, seeds=(8,)),
    ]
    return requests, {request.request_id: index % 4 for index, request in enumerate(requests)}


@pytest.mark.parametrize(
    ("dtype", "bound", "row_budget"), [("float64", 1e-10, 64), ("float64", 1e-10, 4), ("float32", 1e-4, 64)]
)
def test_in_company(
    model: Path, files: Mapping[str, Path], dtype: str, bound: float, row_budget: int
) -> None:
    bench = Bench(model, dtype=dtype, row_budget=row_budget)
    requests, joins = company(model, files)
    results = bench.run(*requests, joins=joins)
    assert max(bench.rows) >= min(row_budget, 8), "the company never shared a step"
    for request in requests:
        reference = kandinsky_says(model, request, getattr(torch, dtype))
        assert largest_difference(results[request.request_id], reference) <= bound


def test_exact_mode_is_blind_to_company(model: Path, files: Mapping[str, Path]) -> None:
    bench = Bench(model, dtype="auto", exact=True)
    requests, joins = company(model, files)
    assert_blind_to_company(bench, *requests, vary(model, files["init_image"], request_id="6"), joins=joins)


def test_inpainters_in_company(inpaint_bench: Bench, inpainter: Path, files: Mapping[str, Path]) -> None:
    requests = [
        ask(
            inpainter,
            str(steps),
            num_inference_steps=steps,
            prior={"prior_num_inference_steps": 6 - steps},
            **files,
        )
        for steps in (2, 4)
    ]
    results = inpaint_bench.run(*requests)
    for request in requests:
        reference = kandinsky_says(inpainter, request)
        assert largest_difference(results[request.request_id], reference) <= 1e-10


def test_a_small_picture_first(bench: Bench, model: Path) -> None:
    """Both passes of the decoder come after the prior; the second is image-to-image."""
    request = with_params(ask(model), hires=Hires(width=SIDE // 2, height=SIDE // 2, strength=0.5))
    assert [(each.stage, each.width, each.steps) for each in passes(request, bench.info)] == [
        ("prior", 0, 3),
        ("decoder", SIDE // 2, 4),
        ("decoder", SIDE, 2),
    ]
    result = bench.run(request)["one"]
    assert result.failure is None
    assert [pixels.shape for pixels in result.pixels.values()] == [(SIDE, SIDE, 3)] * 2
    assert len(bench.rows) == 3 + 4 + 2


def test_stopping_early_and_guiding_part_of_the_way(bench: Bench, model: Path) -> None:
    whole = bench.run(ask(model))["one"]
    stopped = bench.run(with_params(ask(model), stop=0.5))["one"]
    assert len(bench.rows) == (3 + 4) + (3 + 2)
    early = bench.run(with_params(ask(model), guidance_interval=(0.0, 0.5)))["one"]
    for other in (stopped, early):
        assert not np.array_equal(other.pixels[0], whole.pixels[0])


def test_previews_come_with_the_decoder_and_giving_up_ends_both(bench: Bench, model: Path) -> None:
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    request = ask(model, prompt="a red cat " * 40, num_inference_steps=3)
    scheduler.add(request, bench.info)
    shown, unread = [], []
    for _ in range(4):
        batch = scheduler.schedule()
        assert batch is not None
        output = bench.worker.execute(batch, frozenset({"one"}))
        scheduler.update(output.progress)
        shown.append([thumb.shape for thumb in output.previews.values()])
        unread += output.unread_words.get("one", ())
    assert shown == [[], [], [], [(SIDE, SIDE, 3)] * 2]
    assert [(report.step, report.steps) for report in output.progress] == [(4, 6), (4, 6)]
    assert unread[-1] == "cat"
    bench.worker.forget("one")
    assert not bench.worker._runner._states


def test_words_that_a_variation_does_not_read_are_named(
    bench: Bench, model: Path, files: Mapping[str, Path]
) -> None:
    begin, states = type(bench.family.stages[1]).begin, []
    decoder = bench.family.stages[1]
    decoder.begin = lambda state: (begin(decoder, state), states.append(state))
    bench.run(vary(model, files["init_image"], prompt="a cat, red", negative_prompt="dog"))
    del decoder.begin
    assert states[0].unread_words == ("a", "cat", "red", "dog")


def test_half_precision_and_filled_up_steps_make_pictures(model: Path) -> None:
    for config in ({"dtype": "bfloat16"}, {"dtype": "float32", "row_buckets": True}):
        result = Bench(model, **config).run(ask(model, seeds=(1, 2, 3), negative_prompt="dog"))["one"]
        assert result.failure is None
        assert [pixels.shape for pixels in result.pixels.values()] == [(SIDE, SIDE, 3)] * 3


def test_saving_memory_changes_no_picture(model: Path) -> None:
    bench = Bench(model)
    request = ask(model)
    before = bench.run(request)["one"]
    assert bench.family.save_memory()
    assert not bench.family.save_memory()
    after = bench.run(request)["one"]
    assert_equal(after, Result(before.latents))
    differences = np.abs(after.pixels[0].astype(int) - before.pixels[0])
    assert differences.max() <= 1
