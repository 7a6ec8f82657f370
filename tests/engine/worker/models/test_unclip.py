"""unCLIP computes what diffusers' pipelines compute: alone bit for bit, in company to rounding."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PriorTransformer,
    UnCLIPImageVariationPipeline,
    UnCLIPPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from PIL import Image
from safetensors.numpy import load_file
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine import EngineConfig, GenerateRequest, Operation, Reference
from engine.catalog import read_model
from engine.worker.embedding_space import EmbeddingSpace
from engine.worker.super_resolution import CompactUpscaler, upscale
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
    with_params,
)
from tests.engine.tiny_cascade import LARGE, PATCH, SMALL, write_tiny_karlo, write_tiny_unclip


@pytest.fixture(scope="module")
def karlo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_karlo(tmp_path_factory.mktemp("karlo"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second picture."""
    path = tmp_path_factory.mktemp("other") / "other.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(path)
    return path


@cache
def pipeline_of(folder: Path, made: Any) -> Any:
    """Part by part, as diffusers has moved one of the classes and finds it by its name no more."""
    classes = {
        "prior": PriorTransformer,
        "decoder": UNet2DConditionModel,
        "text_proj": UnCLIPTextProjModel,
        "text_encoder": CLIPTextModelWithProjection,
        "image_encoder": CLIPVisionModelWithProjection,
        "super_res_first": UNet2DModel,
        "super_res_last": UNet2DModel,
        "tokenizer": CLIPTokenizer,
        "feature_extractor": CLIPImageProcessorPil,
        **dict.fromkeys(("prior_scheduler", "decoder_scheduler", "super_res_scheduler"), UnCLIPScheduler),
    }
    parts = {}
    for name in inspect.signature(made.__init__).parameters.keys() - {"self"}:
        weighted = not name.endswith(("scheduler", "tokenizer", "extractor"))
        options = {"torch_dtype": torch.float64} if weighted else {}
        parts[name] = classes[name].from_pretrained(folder / name, **options)
    pipeline = made(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def diffusers_says(folder: Path, request: GenerateRequest) -> Result:
    """The same request through diffusers' own pipelines."""
    params = request.params
    common = {
        "generator": [torch.Generator().manual_seed(seed) for seed in request.seeds],
        "num_images_per_prompt": len(request.seeds),
        "decoder_num_inference_steps": params.num_inference_steps,
        "decoder_guidance_scale": params.guidance_scale,
    }
    common["output_type"] = "np"
    if request.reference is None:
        images = pipeline_of(folder, UnCLIPPipeline)(
            request.prompt,
            prior_num_inference_steps=params.prior_num_inference_steps,
            prior_guidance_scale=params.prior_guidance_scale,
            **common,
        ).images
    else:
        [(path, _)] = request.reference.pictures
        pipeline = pipeline_of(folder, UnCLIPImageVariationPipeline)
        images = pipeline(Image.open(path), **common).images
    # What comes out is rounded from float32, so that this is all there is to compare.
    latents = {index: torch.from_numpy(image) for index, image in enumerate(images)}
    return Result(
        latents, {index: (image * 255).round().astype("uint8") for index, image in enumerate(images)}
    )


def as_shown(result: Result) -> Result:
    """Its latents as diffusers gives them back: (h, w, 3) in 0 to 1, float32."""
    assert result.failure is None, result.failure
    rgb = {index: latents[0] * 0.5 + 0.5 for index, latents in result.latents.items()}
    return Result(
        {index: each.clamp(0, 1).permute(1, 2, 0).float() for index, each in rgb.items()}, result.pixels
    )


def ask(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    values = {"sampler": "unclip", "negative_prompt": "", "width": LARGE, "height": LARGE} | changes
    return make_request(model, request_id, **values)


def vary(model: Path, picture: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    reference = Reference(pictures=((picture, 1.0),), **changes.pop("reference", {}))
    return ask(
        model, request_id, operation=Operation.VARIATION, reference=reference, **{"prompt": "", **changes}
    )


@pytest.mark.parametrize(("guidance_scale", "prior_guidance_scale"), [(1.0, 1.0), (1.0, 4.0), (5.0, 2.0)])
def test_text_alone(karlo: Path, guidance_scale: float, prior_guidance_scale: float) -> None:
    request = with_params(
        ask(karlo, guidance_scale=guidance_scale), prior_guidance_scale=prior_guidance_scale
    )
    assert_equal(as_shown(Bench(karlo).run(request)["one"]), diffusers_says(karlo, request))


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_a_picture_alone(karlo: Path, files: Mapping[str, Path], guidance_scale: float) -> None:
    request = vary(karlo, files["init_image"], guidance_scale=guidance_scale)
    assert_equal(as_shown(Bench(karlo).run(request)["one"]), diffusers_says(karlo, request))


def company(model: Path, picture: Path) -> tuple[list[GenerateRequest], dict[str, int]]:
    """Texts and pictures with their own steps, guidance and seeds, that join in the midst of each other's stages."""
    requests = [
        with_params(
            ask(
                model,
                str(index),
                prompt=f"a {'red ' * index}cat",
                num_inference_steps=3 + index,
                guidance_scale=1.0 + 2 * index,
                seeds=tuple(range(index, 2 * index + 1)),
            ),
            prior_num_inference_steps=2 + index,
            prior_guidance_scale=1.0 + index,
        )
        for index in range(3)
    ]
    requests.append(vary(model, picture, "picture", num_inference_steps=5, seeds=(7, 8)))
    return requests, {request.request_id: 2 * tick for tick, request in enumerate(requests)}


def test_company_changes_nothing(karlo: Path, files: Mapping[str, Path]) -> None:
    requests, joins = company(karlo, files["init_image"])
    bench = Bench(karlo)
    together = bench.run(*requests, joins=joins)
    assert max(bench.rows) > 4, "steps are shared"
    for request in requests:
        alone = bench.alone(request)
        assert largest_difference(together[request.request_id], alone) <= 1e-10


def test_exact_is_blind_to_company(karlo: Path, files: Mapping[str, Path]) -> None:
    requests, joins = company(karlo, files["init_image"])
    assert_blind_to_company(Bench(karlo, exact=True, dtype="float32"), *requests, joins=joins)


def test_what_a_negative_prompt_says_is_led_away_from(karlo: Path) -> None:
    bench = Bench(karlo)
    with_it, without = (bench.alone(ask(karlo, negative_prompt=text)) for text in ("dog", ""))
    assert largest_difference(with_it, without) > 0.01


def test_variations_need_no_prompt_and_listen_to_one(karlo: Path, files: Mapping[str, Path]) -> None:
    bench = Bench(karlo)
    plain = bench.alone(vary(karlo, files["init_image"]))
    told = bench.alone(vary(karlo, files["init_image"], prompt="a red cat"))
    assert largest_difference(plain, told) > 0.01
    assert not np.array_equal(plain.pixels[0], plain.pixels[1]), "another seed is another picture"


def test_a_strip_leads_from_one_picture_to_the_other(
    karlo: Path, files: Mapping[str, Path], other: Path
) -> None:
    """Its ends are what the two pictures' variations of the same seed are, and every cell differs from the next."""
    bench = Bench(karlo)
    seeds = (5, 5, 5)
    pictures = ((files["init_image"], 1.0), (other, 1.0))
    strip = ask(
        karlo,
        prompt="",
        seeds=seeds,
        operation=Operation.VARIATION,
        reference=Reference(pictures=pictures, strip=True),
    )
    cells = bench.alone(strip)
    for cell, (picture, _) in ((0, pictures[0]), (2, pictures[1])):
        end = bench.alone(vary(karlo, picture, seeds=(5,)))
        assert float((cells.latents[cell] - end.latents[0]).abs().max()) <= 1e-10
    assert float((cells.latents[1] - cells.latents[0]).abs().max()) > 0.01
    assert float((cells.latents[1] - cells.latents[2]).abs().max()) > 0.01


def test_a_difference_of_texts_moves_a_picture(karlo: Path, files: Mapping[str, Path]) -> None:
    """Not at all by no turn or between equal texts, and the farther the more it is turned."""
    bench = Bench(karlo)

    def moved(turn: float, before: str = "a dog") -> Result:
        reference = {"moved_from": before, "turn": turn}
        return bench.alone(vary(karlo, files["init_image"], prompt="a cat", seeds=(1,), reference=reference))

    still = bench.alone(vary(karlo, files["init_image"], prompt="a cat", seeds=(1,)))
    assert largest_difference(moved(0.0), still) == 0
    assert largest_difference(moved(0.9, "a cat"), still) == 0
    assert largest_difference(moved(0.9), still) > largest_difference(moved(0.1), still) > 0


def test_previews(karlo: Path) -> None:
    """None of an embedding; of the decoder small pictures, of super-resolution large ones."""
    request, bench, seen = ask(karlo, seeds=(1,)), Bench(karlo), []
    for stage in bench.family.stages:
        preview = type(stage).preview

        def note(pictures: Any, stage: Any = stage, preview: Any = preview) -> Any:
            thumbs = preview(stage, pictures)
            seen.append((stage.name, None if thumbs[0] is None else thumbs[0].shape))
            return thumbs

        stage.preview = note
    bench.run(request)
    assert set(seen) == {
        ("prior", None),
        ("decoder", (SMALL, SMALL, 3)),
        ("super-resolution", (LARGE, LARGE, 3)),
    }


def test_the_catalogue_says_what_it_can_do(karlo: Path) -> None:
    info = read_model(str(karlo), EngineConfig(models=(str(karlo),)))
    assert info.family == "unclip"
    assert info.operations == (Operation.TEXT_TO_IMAGE, Operation.VARIATION)
    assert (info.native_width, info.min_side, info.max_side) == (LARGE, LARGE, LARGE)
    assert info.samplers == ("unclip",)
    assert info.memory_bytes == sum(
        tensor.nbytes for tensor in map(_tensors, karlo.glob("*/*.safetensors")) for tensor in tensor.values()
    )


def _tensors(file: Path) -> dict[str, Any]:
    return load_file(file)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_unclip(tmp_path_factory.mktemp("unclip"))


STOCK_SAMPLERS = {
    "ddim": DDIMScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}


def by_hand(folder: Path, request: GenerateRequest) -> torch.Tensor:
    """(1, 3, h, w) in 0 to 1: the first picture of a request, by a plain loop around the parts."""
    params, shared = request.params, json.loads((folder / "model_index.json").read_text())["_shared"]

    def part(made: Any, name: str) -> Any:
        return made.from_pretrained(
            folder.parent / shared[name] if name in shared else folder / name
        ).double()

    encoder, prior = part(CLIPTextModelWithProjection, "text_encoder"), part(PriorTransformer, "prior")
    projection, decoder = part(UnCLIPTextProjModel, "text_proj"), part(UNet2DConditionModel, "decoder")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    texts = [params.negative_prompt, request.prompt]
    ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    read, mask = encoder(ids.input_ids), ids.attention_mask.bool()
    generator = torch.Generator().manual_seed(request.seeds[0])
    scheduler = UnCLIPScheduler.from_pretrained(folder / "prior_scheduler")
    scheduler.set_timesteps(params.prior_num_inference_steps)
    space = EmbeddingSpace.load(folder / "embedding_space").double()
    state = torch.randn(1, space.width, generator=generator, dtype=torch.float64)
    times = scheduler.timesteps
    for index, time in enumerate(times):
        found = prior(
            torch.cat([state] * 2), time, read.text_embeds, read.last_hidden_state, mask
        ).predicted_image_embedding
        guided = found[:1] + params.prior_guidance_scale * (found[1:] - found[:1])
        after = times[index + 1] if index + 1 < len(times) else None
        state = scheduler.step(guided, time, state, prev_timestep=after, generator=generator).prev_sample
    embedding = space.embeddings(prior.post_process_latents(state))
    context, added = projection(
        image_embeddings=embedding,
        prompt_embeds=read.text_embeds,
        text_encoder_hidden_states=read.last_hidden_state,
        do_classifier_free_guidance=True,
    )
    counted = torch.nn.functional.pad(mask, (projection.clip_extra_context_tokens, 0), value=True)
    steps = STOCK_SAMPLERS[params.sampler].from_pretrained(folder / "decoder_scheduler")
    steps.set_timesteps(params.num_inference_steps)
    picture = torch.randn(1, 3, SMALL, SMALL, generator=generator, dtype=torch.float64)
    picture = picture * steps.init_noise_sigma
    for time in steps.timesteps:
        scaled = steps.scale_model_input(picture, time)
        places = torch.nn.functional.pixel_unshuffle(torch.cat([scaled] * 2), PATCH)
        found = decoder(places, time, context, class_labels=added, encoder_attention_mask=counted).sample
        found = torch.nn.functional.pixel_shuffle(found, PATCH)
        guided = found[:1] + params.guidance_scale * (found[1:] - found[:1])
        picture = steps.step(guided, time, picture).prev_sample
    network = CompactUpscaler.load(folder / "super_resolution", torch.float64)
    rgb = picture.clamp(-1, 1)[0] * 0.5 + 0.5
    return upscale(network, upscale(network, rgb))[None]


def ask_small(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(
        model, request_id, **{"width": 4 * SMALL, "height": 4 * SMALL, "sampler": "ddim"} | changes
    )


@torch.inference_mode()
@pytest.mark.parametrize("sampler", sorted(STOCK_SAMPLERS))
def test_the_embedded_kind_alone(small: Path, sampler: str) -> None:
    """A space of fewer axes, ordinary cross-attention, other samplers, and a network that enlarges twice."""
    request = with_params(ask_small(small, sampler=sampler), prior_num_inference_steps=5)
    ours = Bench(small).run(request)["one"]
    theirs = by_hand(small, request)
    assert float((ours.latents[0] - theirs).abs().max()) <= 1e-10
    assert ours.pixels[0].shape == (4 * SMALL, 4 * SMALL, 3)


def test_the_embedded_kind_in_company(small: Path, files: Mapping[str, Path]) -> None:
    picture = files["init_image"]
    reference = Reference(pictures=((picture, 1.0),))
    requests = [
        ask_small(small, "texts", seeds=(1, 2, 3)),
        ask_small(small, "other", prompt="the dog", sampler="euler", num_inference_steps=6),
        ask_small(small, "picture", prompt="", operation=Operation.VARIATION, reference=reference),
    ]
    bench = Bench(small)
    together = bench.run(*requests, joins={"texts": 0, "other": 3, "picture": 5})
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10


def test_the_catalogue_knows_how_large_the_embedded_kind_is(small: Path) -> None:
    info = read_model(str(small), EngineConfig(models=(str(small),)))
    assert (info.enlarges, info.native_width, info.min_side, info.max_side) == (4, *(4 * SMALL,) * 3)
    assert "euler" in info.samplers
    assert "heun" not in info.samplers, "diffusers' cannot step by predicted pictures"
    assert info.memory_bytes > sum(file.stat().st_size for file in small.parent.glob("words/*.safetensors"))
