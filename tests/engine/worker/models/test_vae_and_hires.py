"""FLUX.1 and Z-Image with another autoencoder, and in two passes: as diffusers' pipelines make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine import GenerateRequest, Hires, Operation, RequestRejected
from engine.scheduler import Scheduler
from engine.validation import validate
from tests.engine.bench import (
    Bench,
    Result,
    assert_blind_to_company,
    assert_equal,
    largest_difference,
    make_request,
    with_params,
)
from tests.engine.ldm import vae_name
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import autoencoder
from tests.engine.worker.models.pipelines import pipeline_says

SMALL = SIDE // 2
STEMS = {"flux": "Flux", "z-image": "ZImage"}
WINDOWS = {"flux": 24, "z-image": 96}
BOUNDS = {"flux": 1e-10, "z-image": 1e-4}
"""Z-Image's latents are float32 in every dtype."""


@pytest.fixture(scope="module")
def models(tiny_models: dict[str, Path]) -> dict[str, Path]:
    return {family: tiny_models[family] for family in STEMS}


@pytest.fixture(scope="module")
def benches(models: dict[str, Path]) -> dict[str, Bench]:
    return {family: Bench(folder) for family, folder in models.items()}


@pytest.fixture(scope="module")
def vaes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One autoencoder as a folder and as files with names of today and of FLUX.1's own code; and a smaller kind."""
    root = tmp_path_factory.mktemp("vaes")
    torch.manual_seed(7)
    vae = autoencoder()
    vae.save_pretrained(root / "folder")
    tensors = vae.state_dict()
    save_file(tensors, root / "plain.safetensors")
    first = {vae_name(name, 2): tensor for name, tensor in tensors.items()}
    save_file(
        {n: t[..., None, None] if ".attn_1." in n and t.ndim == 2 else t for n, t in first.items()},
        root / "first.safetensors",
    )
    torch.manual_seed(8)
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    ).save_pretrained(root / "tiny")
    return {path.stem: path for path in root.iterdir()}


def request_to(model: Path, request_id: str = "one", *, hires: Hires | None = None, **changes: Any) -> Any:
    values = {"sampler": "flow_euler", "guidance_scale": 2.0, "negative_prompt": ""} | changes
    request = make_request(model, request_id, **values)
    return replace(request, params=replace(request.params, hires=hires))


def says(family: str, request: GenerateRequest, dtype: torch.dtype = torch.float64) -> Result:
    return pipeline_says(
        Path(request.model), STEMS[family], request, dtype, max_sequence_length=WINDOWS[family]
    )


def by_hand(
    family: str, request: GenerateRequest, folder: Path, dtype: torch.dtype = torch.float64
) -> Result:
    """Text-to-image at the small size, Pillow, image-to-image at the large one, picture by picture."""
    params, hires = request.params, request.params.hires
    assert hires is not None
    once = replace(params, hires=None)
    small = replace(request, params=replace(once, width=hires.width, height=hires.height))
    result = Result()
    for index, pixels in says(family, small, dtype).pixels.items():
        enlarged = Image.fromarray(pixels).resize((params.width, params.height), Image.Resampling.LANCZOS)
        enlarged.save(folder / f"{index}.png")
        second = replace(
            request,
            seeds=(request.seeds[index],),
            operation=Operation.IMAGE_TO_IMAGE,
            init_image=folder / f"{index}.png",
            params=replace(once, strength=hires.strength),
        )
        made = says(family, second, dtype)
        result.latents[index], result.pixels[index] = made.latents[0], made.pixels[0]
    return result


@pytest.mark.parametrize("name", ["folder", "plain", "first"])
@pytest.mark.parametrize("family", STEMS)
def test_another_autoencoder_decodes_as_diffusers_does(
    benches: dict[str, Bench], models: dict[str, Path], vaes: dict[str, Path], family: str, name: str
) -> None:
    ours = benches[family].run(request_to(models[family], vae=vaes[name]))["one"]
    theirs = says(family, request_to(models[family], vae=vaes["folder"]))
    assert_equal(ours, theirs)
    assert (ours.pixels[0] != says(family, request_to(models[family])).pixels[0]).any()


@pytest.mark.parametrize("name", ["folder", "tiny"])
@pytest.mark.parametrize("family", STEMS)
def test_another_autoencoder_encodes_as_diffusers_does(
    benches: dict[str, Bench],
    models: dict[str, Path],
    vaes: dict[str, Path],
    files: Mapping[str, Path],
    family: str,
    name: str,
) -> None:
    request = request_to(models[family], vae=vaes[name], strength=0.5, seeds=(3,), **files)
    assert_equal(benches[family].run(request)["one"], says(family, request))


@pytest.mark.parametrize("family", STEMS)
def test_one_of_another_shift_is_refused(
    benches: dict[str, Bench], models: dict[str, Path], vaes: dict[str, Path], tmp_path: Path, family: str
) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(vaes["folder"])
    vae.register_to_config(shift_factor=0.1)
    vae.save_pretrained(tmp_path / "other")
    failure = benches[family].run(request_to(models[family], vae=tmp_path / "other"))["one"].failure
    assert failure is not None
    assert (failure.code, "shift" in str(failure)) == ("vae_mismatch", True)


@pytest.mark.parametrize("strength", [0.3, 0.7])
@pytest.mark.parametrize("family", STEMS)
def test_two_passes_are_two_pipelines(
    benches: dict[str, Bench], models: dict[str, Path], tmp_path: Path, family: str, strength: float
) -> None:
    hires = Hires(width=SMALL, height=SMALL, strength=strength)
    request = request_to(models[family], hires=hires, num_inference_steps=5, seeds=(3,))
    assert_equal(benches[family].run(request)["one"], by_hand(family, request, tmp_path))


@pytest.mark.parametrize("family", STEMS)
def test_in_bfloat16_too(models: dict[str, Path], tmp_path: Path, family: str) -> None:
    hires = Hires(width=SMALL, height=SMALL)
    request = request_to(models[family], hires=hires, seeds=(3,), num_inference_steps=3)
    ours = Bench(models[family], dtype="bfloat16", channels_last=False).run(request)["one"]
    assert_equal(ours, by_hand(family, request, tmp_path, torch.bfloat16))


def company(model: Path, vaes: dict[str, Path]) -> list[Any]:
    """Of the small size, of the large one, and on their way from one to the other, with autoencoders of their own."""
    hires = Hires(width=SMALL, height=SMALL)
    return [
        request_to(model, "two", hires=hires, num_inference_steps=6, guidance_scale=3.0),
        request_to(model, "small", width=SMALL, height=SMALL, num_inference_steps=9),
        request_to(model, "large", num_inference_steps=9, vae=vaes["folder"]),
        request_to(model, "late", hires=hires, num_inference_steps=3, seeds=(8, 9, 10), vae=vaes["folder"]),
    ]


@pytest.mark.parametrize("row_budget", [64, 4])
@pytest.mark.parametrize("family", STEMS)
def test_in_company(
    models: dict[str, Path], vaes: dict[str, Path], tmp_path: Path, family: str, row_budget: int
) -> None:
    bench = Bench(models[family], row_budget=row_budget)
    requests = company(models[family], vaes)
    together = bench.run(*requests, joins={"late": 3})
    for request in requests:
        expected = by_hand(family, request, tmp_path) if request.params.hires else says(family, request)
        assert largest_difference(together[request.request_id], expected) <= BOUNDS[family]


@pytest.mark.parametrize("family", STEMS)
def test_exact_mode_is_blind_to_company(models: dict[str, Path], vaes: dict[str, Path], family: str) -> None:
    bench = Bench(models[family], dtype="auto", exact=True)
    assert_blind_to_company(bench, *company(models[family], vaes), joins={"late": 3})


@pytest.mark.parametrize(("family", "widths"), [("flux", (SMALL, SIDE)), ("z-image", (0, 0))])
def test_both_passes_are_counted(
    benches: dict[str, Bench], models: dict[str, Path], family: str, widths: tuple[int, int]
) -> None:
    bench = benches[family]
    hires = Hires(width=SMALL, height=SMALL)
    request = request_to(models[family], hires=hires, num_inference_steps=4, seeds=(3,))
    request = replace(request, params=replace(request.params, stop=0.5))
    scheduler = Scheduler(8, lambda: 0.0, {bench.info.name})
    scheduler.add(request, bench.info)
    seen = []
    while (batch := scheduler.schedule()) is not None:
        output = bench.worker.execute(batch, frozenset({"one"}))
        seen.append((batch.key.width, output.progress[0].step, output.progress[0].steps))
        scheduler.update(output.progress)
    assert seen == [(widths[0], step, 5) for step in range(1, 5)] + [(widths[1], 5, 5)]


Wrong = Callable[[GenerateRequest], GenerateRequest]


@pytest.mark.parametrize(
    ("family", "name", "change", "why"),
    [
        ("flux", "embeddings", lambda r: replace(r, embeddings=(("x", Path("x.safetensors")),)), "CLIP"),
        ("z-image", "clip_skip", lambda r: with_params(r, clip_skip=1), "one layer"),
        ("flux", "tiling", lambda r: with_params(r, tiling=True), "every patch"),
        ("z-image", "tiling", lambda r: with_params(r, tiling=True), "every patch"),
        ("flux", "guidance_rescale", lambda r: with_params(r, guidance_rescale=0.5), "condition"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(
    benches: dict[str, Bench], models: dict[str, Path], family: str, name: str, change: Wrong, why: str
) -> None:
    with pytest.raises(RequestRejected, match=why) as caught:
        validate(change(request_to(models[family])), benches[family].info)
    assert caught.value.code == f"{name}_unsupported"
