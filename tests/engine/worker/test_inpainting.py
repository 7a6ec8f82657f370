"""Inpainting computes what diffusers' pipelines compute, with models that read a mask and with those that know of none.

One seed per request: of several, diffusers encodes the initial picture with the first one's generator for all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import EngineConfig, Operation, RequestRejected
from engine.catalog import read_model
from engine.validation import validate
from engine.worker.samplers import SAMPLERS
from tests.engine.bench import Bench, assert_equal, diffusers_says, largest_difference, make_request
from tests.engine.tiny import SIDE, write_tiny_model
from tests.engine.tiny_xl import write_tiny_xl

ALL = sorted(SAMPLERS)
MODELS: dict[str, Any] = {
    "sd": (write_tiny_model, {}),
    "sd-9": (write_tiny_model, {"in_channels": 9}),
    "sdxl": (write_tiny_xl, {}),
    "sdxl-9": (write_tiny_xl, {"in_channels": 9}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inpaint")
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[8:24, 4:20] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask).resize((50, 70)).save(folder / "larger.png")
    Image.new("L", (SIDE, SIDE)).save(folder / "black.png")
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def benches(folder: Path) -> dict[str, Bench]:
    return {name: Bench(write(folder / name, **options)) for name, (write, options) in MODELS.items()}


def inpaint(bench: Bench, folder: Path, request_id: str = "one", **changes: Any) -> Any:
    options = {"num_inference_steps": 4, "seeds": (3,), "strength": 1.0, "sampler": "euler"}
    options |= {"init_image": folder / "picture.png", "mask": folder / "mask.png"} | changes
    return make_request(bench.info.name, request_id, **options)


def reference(request: Any, dtype: torch.dtype = torch.float64) -> Any:
    return diffusers_says(Path(request.model), request, dtype)


@pytest.mark.parametrize("sampler", ALL)
def test_alone_with_every_sampler(benches: dict[str, Bench], folder: Path, sampler: str) -> None:
    request = inpaint(benches["sd"], folder, sampler=sampler, strength=0.7, num_inference_steps=6)
    assert_equal(benches["sd"].run(request)["one"], reference(request))


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("sampler", ["euler_a", "ddim"])
@pytest.mark.parametrize("model", MODELS)
def test_alone_with_every_model(
    benches: dict[str, Bench], folder: Path, model: str, sampler: str, strength: float
) -> None:
    """euler_a draws noise after the pictures were encoded: what is drawn for that has to be drawn in the same order."""
    request = inpaint(benches[model], folder, sampler=sampler, strength=strength)
    assert_equal(benches[model].run(request)["one"], reference(request))


@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_in_company(benches: dict[str, Bench], folder: Path, model: str) -> None:
    bench = benches[model]
    requests = [
        inpaint(
            bench,
            folder,
            sampler,
            sampler=sampler,
            num_inference_steps=3 + index % 4,
            guidance_scale=1.0 if sampler in ("lcm", "tcd") else 2.0 + index,
            strength=(1.0, 0.5)[index % 2],
            seeds=(index,),
        )
        for index, sampler in enumerate(ALL)
    ]
    requests.append(make_request(bench.info.name, "plain", sampler="heun", seeds=(5,)))
    joins = {request.request_id: 2 * index % 5 for index, request in enumerate(requests)}
    results = bench.run(*requests, joins=joins)
    for request in requests:
        assert largest_difference(results[request.request_id], reference(request)) <= 1e-10


def test_what_is_black_is_kept(benches: dict[str, Bench], folder: Path) -> None:
    """Two seeds draw two pictures inside the mask; away from it, both are the initial picture."""
    bench = benches["sd"]
    first, second = (
        result.latents[0][..., :, 12:]
        for result in bench.run(
            inpaint(bench, folder, "a", seeds=(1,)), inpaint(bench, folder, "b", seeds=(2,))
        ).values()
    )
    kept = (first - second)[..., :2, :].abs().max()
    assert kept < 1.0, "only the autoencoder's own sampling differs"


def test_a_mask_of_another_size_is_scaled(benches: dict[str, Bench], folder: Path) -> None:
    request = inpaint(benches["sd"], folder, mask=folder / "larger.png")
    assert_equal(benches["sd"].run(request)["one"], reference(request))


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"mask": "text.png"}, "picture_unreadable", "mask text.png cannot be read"),
        ({"mask": "gone.png"}, "picture_unreadable", "mask gone.png cannot be read"),
        ({"init_image": "text.png"}, "picture_unreadable", "initial picture text.png"),
        ({"mask": "black.png"}, "mask_empty", "black everywhere"),
    ],
)
def test_files_that_cannot_be_used(
    benches: dict[str, Bench], folder: Path, changes: dict[str, str], code: str, says: str
) -> None:
    bench = benches["sd"]
    bad = inpaint(bench, folder, "bad", **{name: folder / file for name, file in changes.items()})
    results = bench.run(bad, inpaint(bench, folder, "good"))
    failure = results["bad"].failure
    assert failure is not None
    assert failure.code == code
    assert says in str(failure)
    assert results["good"].failure is None, "the next request runs"


def test_what_the_door_says(benches: dict[str, Bench], folder: Path) -> None:
    info = benches["sd"].info
    validate(inpaint(benches["sd"], folder), info)
    with pytest.raises(RequestRejected, match="inpaint without one") as caught:
        validate(inpaint(benches["sd"], folder, mask=None, operation=Operation.INPAINT), info)
    assert caught.value.code == "mask_mismatch"
    with pytest.raises(RequestRejected, match="text-to-image with one"):
        validate(make_request(info.name, mask=folder / "mask.png"), info)
    with pytest.raises(RequestRejected, match="initial picture"):
        validate(make_request(info.name, operation=Operation.INPAINT, mask=folder / "mask.png"), info)


def test_a_model_made_for_inpainting_does_nothing_else(benches: dict[str, Bench]) -> None:
    config = EngineConfig(cache_dir=Path("nowhere"))
    assert read_model(benches["sd-9"].info.name, config).operations == (Operation.INPAINT,)
    with pytest.raises(RequestRejected, match="it can do inpaint"):
        validate(make_request(benches["sd-9"].info.name), benches["sd-9"].info)
