"""Requests for larger pictures: alone, in company, step by step, and when something is wrong with one of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import (
    EngineConfig,
    FinishReason,
    ImageReady,
    OutputStream,
    Progress,
    RequestOutput,
    RequestRejected,
    Safety,
    UpscaleRequest,
)
from engine.async_engine import AsyncEngine
from engine.launch import launch_engine
from engine.passes import SUPER_RESOLUTION
from engine.tiles import MAX_SIDE, tile_steps
from engine.worker.request_state import PictureState
from engine.worker.super_resolution import SuperResolution, TiledPicture, upscale
from tests.engine.bench import Bench, largest_difference
from tests.engine.tiny_upscaler import smooth, tiny_network, write_smooth, write_tiny_upscaler
from tests.engine.worker.test_model_runner import Failing, out_of_memory


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_upscaler(tmp_path_factory.mktemp("upscaler"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    sizes = {"dot": (1, 1), "odd": (37, 51), "small": (90, 60), "wide": (300, 140), "tall": (140, 300)}
    return {name: write_smooth(folder / f"{name}.png", *size) for name, size in sizes.items()}


def enlarge(model: Path, request_id: str, *images: Path, scale: int = 4) -> UpscaleRequest:
    return UpscaleRequest(
        request_id=request_id, model=str(model), images=images, scale=scale, submitted_at=0.0
    )


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_pictures_of_any_size_at_every_scale(upscaler: Path, pictures: dict[str, Path], scale: int) -> None:
    bench = Bench(upscaler, dtype="float32")
    names = ["dot", "odd", "small"]
    found = bench.run(enlarge(upscaler, "one", *(pictures[name] for name in names), scale=scale))["one"]
    assert found.failure is None
    for index, name in enumerate(names):
        with Image.open(pictures[name]) as picture:
            assert found.pixels[index].shape == (scale * picture.height, scale * picture.width, 3)
            plain = np.asarray(picture.resize((scale * picture.width, scale * picture.height)))
        # The network is random and small, and adds little to the plainly enlarged picture.
        assert np.abs(found.pixels[index].astype(int) - plain).mean() < 60


def test_what_comes_out_is_what_the_network_makes(upscaler: Path, pictures: dict[str, Path]) -> None:
    found = Bench(upscaler).run(enlarge(upscaler, "one", pictures["wide"]))["one"]
    picture = torch.from_numpy(np.array(Image.open(pictures["wide"]))).permute(2, 0, 1).double() / 255
    whole = upscale(tiny_network().double(), picture)
    torch.testing.assert_close(found.latents[0][0], whole, atol=1e-12, rtol=0)
    assert np.array_equal(found.pixels[0], whole.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def test_two_runs_are_the_network_twice(upscaler: Path, pictures: dict[str, Path]) -> None:
    found = Bench(upscaler).run(enlarge(upscaler, "one", pictures["odd"], scale=16))["one"]
    picture = torch.from_numpy(np.array(Image.open(pictures["odd"]))).permute(2, 0, 1).double() / 255
    network = tiny_network().double()
    torch.testing.assert_close(
        found.latents[0][0], upscale(network, upscale(network, picture)), atol=1e-12, rtol=0
    )


def test_company_changes_next_to_nothing(upscaler: Path, pictures: dict[str, Path]) -> None:
    bench = Bench(upscaler)
    requests = [
        enlarge(upscaler, "one", pictures["wide"], pictures["odd"]),
        enlarge(upscaler, "two", pictures["tall"], scale=2),
        enlarge(upscaler, "three", pictures["small"], scale=16),
    ]
    together = bench.run(*requests, joins={"two": 1, "three": 2})
    for request in requests:
        assert largest_difference(together[request.request_id], bench.alone(request)) <= 1e-10


@pytest.mark.parametrize("exact", [True, False])
def test_the_same_request_gives_the_same_bytes(
    upscaler: Path, pictures: dict[str, Path], exact: bool
) -> None:
    bench = Bench(upscaler, dtype="float32", exact=exact)
    request = enlarge(upscaler, "one", pictures["wide"], pictures["small"])
    others = (enlarge(upscaler, "two", pictures["tall"], pictures["small"]),) if exact else ()
    first, second = bench.run(request, *others)["one"], bench.run(request)["one"]
    assert all(np.array_equal(first.pixels[index], second.pixels[index]) for index in (0, 1))
    assert all(torch.equal(first.latents[index], second.latents[index]) for index in (0, 1))


class Counting(Failing):
    """Notes the shapes that a network is given."""

    def __init__(self, module: Any) -> None:
        super().__init__(module, self.note)
        self.shapes: list[tuple[int, ...]] = []

    def note(self, tiles: torch.Tensor) -> None:
        self.shapes.append(tuple(tiles.shape))


def test_tiles_of_several_pictures_share_a_forward_pass(upscaler: Path, pictures: dict[str, Path]) -> None:
    bench = Bench(upscaler)
    counting = bench.stage._network = Counting(bench.stage._network)
    bench.run(enlarge(upscaler, "one", pictures["wide"]), enlarge(upscaler, "two", pictures["tall"]))
    assert counting.shapes == [(8, 3, 128, 128), (4, 3, 128, 128)], "six tiles of each, four at a time"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_out_of_memory_takes_fewer_tiles(upscaler: Path, pictures: dict[str, Path], most: int) -> None:
    requests = (enlarge(upscaler, "one", pictures["wide"]), enlarge(upscaler, "two", pictures["tall"]))
    plenty = Bench(upscaler).run(*requests)
    bench = Bench(upscaler)
    bench.stage._network = Failing(
        bench.stage._network, lambda tiles: out_of_memory() if len(tiles) > most else None
    )
    for request_id, found in bench.run(*requests).items():
        assert largest_difference(found, plenty[request_id]) <= 1e-10


def test_no_memory_at_all_fails_the_request_and_not_the_next(
    upscaler: Path, pictures: dict[str, Path]
) -> None:
    bench = Bench(upscaler)
    network = bench.stage._network
    bench.stage._network = Failing(network, lambda tiles: out_of_memory())
    failure = bench.run(enlarge(upscaler, "one", pictures["wide"]))["one"].failure
    assert failure is not None
    assert failure.code == "out_of_memory"
    bench.stage._network = network
    assert bench.run(enlarge(upscaler, "two", pictures["wide"]))["two"].failure is None


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_what_is_no_number_is_no_picture(upscaler: Path, pictures: dict[str, Path], value: float) -> None:
    """Infinity too, though limiting it to what a picture can show would hide it."""
    bench = Bench(upscaler)
    with torch.no_grad():
        bench.stage._network.body[-1].bias[0] = value
    failure = bench.run(enlarge(upscaler, "one", pictures["odd"], scale=16))["one"].failure
    assert failure is not None
    assert failure.code == "picture_not_finite"


def test_previews_show_tiles_over_the_plain_picture(upscaler: Path) -> None:
    stage = SuperResolution(tiny_network(), torch.device("cpu"), torch.float32, exact=False)
    small = smooth(128, 500)[None]
    bare = PictureState(request_id="one", index=0, steps_in_pass=1, latents=small)
    bare.later = (stage.later_pass(500, 128, 4),)
    picture = stage.taken_over(bare, small, 4)
    assert tile_steps(500, 128, 4) == picture.steps_in_pass == 2
    with torch.inference_mode():
        (plain,) = stage.preview([picture])
        stage.denoise([picture])
        (seen,) = stage.preview([picture])
    assert plain.shape == seen.shape == (33, 128, 3)
    reached = 128 * (picture.tiling._across.starts[4] + 12) // 500
    assert (seen[:, :reached] != plain[:, :reached]).any()
    assert np.array_equal(seen[:, reached + 24 :], plain[:, reached + 24 :])


def test_the_last_stage_of_another_family(upscaler: Path) -> None:
    stage = SuperResolution(tiny_network(), torch.device("cpu"), torch.float64, exact=False)
    picture = PictureState(
        request_id="one", index=3, steps_in_pass=5, latents=torch.zeros(1, 4, 8, 8), step=5
    )
    picture.later = (later := stage.later_pass(64, 64, 16),)
    assert (later.stage, later.width, later.height) == (SUPER_RESOLUTION, 0, 0)
    before = picture.steps
    taken = stage.taken_over(picture, smooth(64, 64)[None], 16, Safety.SAFE)
    assert isinstance(taken, TiledPicture)
    assert (taken.steps, taken.steps_done, taken.current, taken.later) == (before, 5, later, ())
    assert picture.later == (later,), "the picture itself is as it was"
    with torch.inference_mode():
        while not taken.done:
            stage.denoise([taken])
        (ready,) = stage.finish([taken])
    assert isinstance(ready, ImageReady)
    assert (ready.index, ready.safety, ready.pixels.shape) == (3, Safety.SAFE, (1024, 1024, 3))


@pytest.fixture
async def engine(upscaler: Path) -> AsyncIterator[AsyncEngine]:
    config = EngineConfig(
        models=(str(upscaler),), upscaler=str(upscaler), device="cpu", dtype="float32", preview_interval=0.0
    )
    async with launch_engine(config) as launched:
        yield launched


async def read(stream: OutputStream) -> tuple[list[Any], RequestOutput]:
    items = [item async for item in stream]
    assert isinstance(items[-1], RequestOutput)
    return items[:-1], items[-1]


async def test_from_files_to_pictures(
    engine: AsyncEngine, upscaler: Path, pictures: dict[str, Path], tmp_path: Path
) -> None:
    """Transparent, turned by its EXIF, in grey and with a palette; beside one that is no picture."""
    rgba = Image.open(pictures["small"]).convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    turned = Image.Exif()
    turned[0x0112] = 6
    rgba.save(tmp_path / "alpha.png")
    rgba.convert("RGB").save(tmp_path / "turned.jpg", exif=turned)
    rgba.convert("L").save(tmp_path / "grey.png")
    rgba.convert("P").save(tmp_path / "palette.gif")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing follows")
    names = ("alpha.png", "turned.jpg", "grey.png", "palette.gif")
    good = engine.submit(enlarge(upscaler, "good", *(tmp_path / name for name in names), scale=2))
    bad = engine.submit(enlarge(upscaler, "bad", tmp_path / "alpha.png", tmp_path / "broken.png"))
    other = engine.submit(enlarge(upscaler, "other", pictures["wide"]))
    (updates, output), (_, failed), (seen, ended) = await asyncio.gather(*map(read, (good, bad, other)))
    shapes = {each.index: each.pixels.shape for each in updates if isinstance(each, ImageReady)}
    assert shapes == {0: (120, 180, 3), 1: (180, 120, 3), 2: (120, 180, 3), 3: (120, 180, 3)}
    assert output.finish_reason is ended.finish_reason is FinishReason.COMPLETED
    assert failed.error is not None
    assert failed.error.code == "picture_unreadable"
    progress = [update for update in seen if isinstance(update, Progress)]
    assert (progress[-1].step, progress[-1].steps) == (2, 2)
    assert any(preview is not None for update in progress for preview in update.previews)


async def test_abort_takes_effect(engine: AsyncEngine, upscaler: Path, tmp_path: Path) -> None:
    large = write_smooth(tmp_path / "large.png", 1024, 1024)
    long = engine.submit(enlarge(upscaler, "long", large))
    other = engine.submit(enlarge(upscaler, "other", large))
    async for update in long:
        if isinstance(update, Progress):
            break
    engine.abort("long")
    engine.abort("other")
    assert (await read(long))[1].finish_reason is FinishReason.ABORTED
    assert (await read(other))[1].finish_reason is FinishReason.ABORTED


async def test_what_becomes_too_large_is_refused(engine: AsyncEngine, upscaler: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1100, 10)).save(tmp_path / "long.png")
    Image.new("RGB", (3000, 10)).save(tmp_path / "longer.png")
    for name, scale, sentence in (
        ("long.png", 4, "1100 × 10 px and would have 4400 × 40 .* A scale of 2 would do"),
        ("longer.png", 2, "Send a smaller picture"),
    ):
        _, output = await read(engine.submit(enlarge(upscaler, name, tmp_path / name, scale=scale)))
        assert output.error is not None
        assert output.error.code == "picture_too_large"
        assert output.error.values["maximum"] == MAX_SIDE
        assert re.search(sentence, str(output.error))


async def test_refusals_at_the_door(engine: AsyncEngine, upscaler: Path, pictures: dict[str, Path]) -> None:
    for request, code in (
        (enlarge(upscaler, "a", pictures["odd"], scale=3), "scale_unsupported"),
        (enlarge(upscaler, "b"), "pictures_out_of_range"),
        (enlarge(upscaler, "c", *17 * [pictures["odd"]]), "pictures_out_of_range"),
    ):
        with pytest.raises(RequestRejected) as caught:
            engine.submit(request)
        assert caught.value.code == code
