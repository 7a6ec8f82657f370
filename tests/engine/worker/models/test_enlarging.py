"""A Stable Diffusion model with a super-resolution network of its own: drawn small, as diffusers draws it, then enlarged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import EngineConfig, GenerateRequest, Hires
from engine.catalog import read_model
from engine.passes import SUPER_RESOLUTION, passes
from engine.worker.super_resolution import CompactUpscaler, upscale
from tests.engine.bench import Bench, diffusers_says, largest_difference, make_request, with_params
from tests.engine.tiny import SIDE, write_tiny_model
from tests.engine.tiny_upscaler import write_tiny_upscaler

TIMES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_model(tmp_path_factory.mktemp("enlarging"))
    write_tiny_upscaler(folder / "super_resolution", scale=TIMES)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"enlarges": TIMES, "super_resolution": ["fourfold", "CompactUpscaler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the network, which diffusers would not know."""
    return write_tiny_model(tmp_path_factory.mktemp("plain"))


def ask(model: Path, request_id: str = "one", **changes: Any) -> GenerateRequest:
    return make_request(model, request_id, **{"width": TIMES * SIDE, "height": TIMES * SIDE} | changes)


def enlarged(model: Path, plain: Path, request: GenerateRequest) -> dict[int, torch.Tensor]:
    """What diffusers draws small, by the network: (1, 3, h, w) in 0 to 1."""
    small = replace(
        with_params(request, width=request.params.width // TIMES, height=request.params.height // TIMES),
        model=str(plain),
    )
    network = CompactUpscaler.load(model / "super_resolution", torch.float64)
    rgb = {
        index: torch.from_numpy(pixels.copy()).permute(2, 0, 1).double() / 255
        for index, pixels in diffusers_says(plain, small).pixels.items()
    }
    return {index: upscale(network, each)[None] for index, each in rgb.items()}


def assert_is(ours: Any, theirs: dict[int, torch.Tensor]) -> None:
    assert ours.failure is None, ours.failure
    assert ours.latents.keys() == theirs.keys()
    for index, expected in theirs.items():
        # Single precision between the picture and the network.
        assert float((ours.latents[index] - expected).abs().max()) <= 1e-6


def test_from_a_text(model: Path, plain: Path) -> None:
    request = ask(model)
    ours = Bench(model).run(request)["one"]
    assert_is(ours, enlarged(model, plain, request))
    assert ours.pixels[0].shape == (TIMES * SIDE, TIMES * SIDE, 3)


@pytest.mark.parametrize("masked", [False, True])
def test_from_a_picture(model: Path, plain: Path, files: Mapping[str, Path], masked: bool) -> None:
    """It is scaled to the size that is drawn, whatever its own."""
    given = files if masked else {"init_image": files["init_image"]}
    request = ask(model, strength=0.6, num_inference_steps=5, seeds=(3,), **given)
    assert_is(Bench(model).run(request)["one"], enlarged(model, plain, request))


def test_two_passes_before_it(model: Path) -> None:
    request = with_params(ask(model), hires=Hires(width=TIMES * SIDE // 2, height=TIMES * SIDE // 2))
    info = read_model(str(model), EngineConfig(models=(str(model),)))
    assert [(each.stage, each.width) for each in passes(request, info)] == [
        ("denoise", TIMES * SIDE // 2),
        ("denoise", TIMES * SIDE),
        (SUPER_RESOLUTION, 0),
    ]
    ours = Bench(model).run(request)["one"]
    assert ours.pixels[0].shape == (TIMES * SIDE, TIMES * SIDE, 3)


def test_company_changes_nothing(model: Path, files: Mapping[str, Path]) -> None:
    requests = [
        ask(model, "text"),
        ask(model, "longer", num_inference_steps=7, seeds=(8,)),
        ask(model, "wide", width=2 * TIMES * SIDE, seeds=(9, 10)),
        ask(model, "picture", init_image=files["init_image"], strength=0.5),
    ]
    bench = Bench(model)
    together = bench.run(*requests, joins={"text": 0, "longer": 1, "wide": 2, "picture": 4})
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10


def test_the_catalogue_names_the_size_of_the_pictures(model: Path) -> None:
    info = read_model(str(model), EngineConfig(models=(str(model),)))
    assert (info.enlarges, info.native_width, info.size_multiple % TIMES) == (TIMES, TIMES * SIDE, 0)
