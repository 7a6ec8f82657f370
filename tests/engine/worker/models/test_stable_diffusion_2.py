"""Stable Diffusion 2.x, both of its kinds, computes what diffusers' pipelines compute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine import EngineConfig
from engine.catalog import read_model
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import Bench, assert_equal, diffusers_says, largest_difference, make_request
from tests.engine.tiny import write_tiny_model

ALL = sorted(SAMPLERS)
CONFIG = EngineConfig(cache_dir=Path("nowhere"))


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """2.1 base predicts noise at 512 px, 2.1 velocity at 768 px; both count their timesteps alike."""
    folder = tmp_path_factory.mktemp("tiny-2")
    scheduler = {"prediction_type": request.param, "steps_offset": 1}
    return Bench(write_tiny_model(folder, version_2=True, scheduler=scheduler, seed=3))


@pytest.mark.parametrize("sampler", ALL)
def test_text_to_image_alone(bench: Bench, sampler: str) -> None:
    request = make_request(bench.info.name, sampler=sampler)
    assert_equal(bench.run(request)["one"], diffusers_says(Path(bench.info.name), request))


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "heun"])
def test_image_to_image_alone(bench: Bench, picture: Path, sampler: str) -> None:
    request = make_request(
        bench.info.name, sampler=sampler, num_inference_steps=6, strength=0.6, init_image=picture
    )
    assert_equal(bench.run(request)["one"], diffusers_says(Path(bench.info.name), request))


def test_in_company(bench: Bench, picture: Path) -> None:
    requests = [
        make_request(
            bench.info.name,
            sampler,
            sampler=sampler,
            num_inference_steps=2 + index % 4,
            guidance_scale=1.0 if sampler in ("lcm", "tcd") else 2.0 + index,
            seeds=(index,),
        )
        for index, sampler in enumerate(ALL)
    ]
    requests.append(make_request(bench.info.name, "varied", strength=0.5, init_image=picture))
    joins = {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}
    results = bench.run(*requests, joins=joins)
    for request in requests:
        theirs = diffusers_says(Path(bench.info.name), request)
        assert largest_difference(results[request.request_id], theirs) <= 1e-10


def test_its_native_size_is_its_own(bench: Bench, tmp_path: Path) -> None:
    """The real 2.1 says 96 latents a side and an autoencoder of factor 8: 768 px."""
    folder = shutil.copytree(bench.info.name, tmp_path / "model")
    for part, change in (("unet", {"sample_size": 96}), ("vae", {"block_out_channels": [8, 8, 8, 8]})):
        config = json.loads((folder / part / "config.json").read_text())
        (folder / part / "config.json").write_text(json.dumps(config | change))
    info = read_model(str(folder), CONFIG)
    assert (info.native_width, info.native_height, info.max_side) == (768, 768, 1536)
