"""Everything that a caller can get wrong, through the front door: a typed error, or a picture; and the next request runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import FinishReason, Hires, ImageReady, Operation, RequestOutput, RequestRejected
from engine.async_engine import AsyncEngine
from engine.catalog import read_model
from engine.executor import DirectExecutor
from engine.worker.worker import Worker
from tests.engine.bench import make_request, with_params
from tests.engine.test_async_engine import config, read
from tests.engine.tiny import SIDE
from tests.engine.tiny_transformers import write_tiny_pixart

SAMPLER = {"flux": "flow_euler", "z-image": "flow_euler", "pixart": "own"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> dict[str, Path]:
    return {**tiny_models, "pixart": write_tiny_pixart(tmp_path_factory.mktemp("pixart"))}


class Door:
    """An engine with every model, and a look at what it holds."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.settings = config(*folders.values(), dtype="bfloat16")
        self.worker = Worker(self.settings)
        models = [read_model(str(folder), self.settings) for folder in folders.values()]
        self.engine = AsyncEngine(DirectExecutor(lambda: self.worker), models, self.settings)
        self.count = 0

    def request(self, family: str = "sd", **changes: Any) -> Any:
        self.count += 1
        values = {"sampler": SAMPLER.get(family, "euler_a"), "num_inference_steps": 2, "seeds": (1,)}
        if family in ("flux", "z-image"):
            values |= {"width": 64, "height": 64}
        values |= changes
        return make_request(self.folders[family], f"{self.count}", **values)

    async def make(self, family: str = "sd", **changes: Any) -> tuple[list[Any], RequestOutput]:
        return await read(self.engine.submit(self.request(family, **changes)))

    async def works(self, family: str = "sd") -> None:
        """The next request is served, and nothing is left of those before."""
        updates, output = await self.make(family)
        assert output.finish_reason is FinishReason.COMPLETED, output.error
        assert sum(isinstance(update, ImageReady) for update in updates) == 1
        runner, core = self.worker._runner, self.engine._core
        held = (runner._states, runner._weights, core._running, self.engine._streams, len(core.scheduler))
        assert not any(held)


@pytest.fixture
async def door(folders: dict[str, Path]) -> AsyncIterator[Door]:
    made = Door(folders)
    yield made
    await made.engine.close()


PROMPTS = {
    "empty": "",
    "only spaces": " \n\t ",
    "4,000 characters": ("a very long prompt, " * 200)[:4000],
    "one word of 4,000 characters": "a" * 4000,
    "emoji": "🦊👩‍👩‍👧‍👦 " * 50,
    "control characters": "".join(map(chr, range(32))) + "\x7f\u200b\u202e\ufeff cat",
    "4,000 parentheses": "(" * 4000,
    "nested": "(" * 2000 + ")" * 2000,
    "in the wrong order": ")(" * 2000,
    "brackets of both kinds": "([" * 1000 + "cat" + ")]" * 900,
    "weights of every size": "(cat:1e9) (dog:-5) (red:99999999999) [blue:0.0000001]",
    "colons": ":" * 4000,
}


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "z-image", "pixart"])
async def test_every_prompt_is_a_picture(door: Door, family: str) -> None:
    for name, prompt in PROMPTS.items():
        for texts in ({"prompt": prompt}, {"negative_prompt": prompt}):
            updates, output = await door.make(family, num_inference_steps=1, guidance_scale=2.0, **texts)
            assert output.finish_reason is FinishReason.COMPLETED, (name, output.error)
            assert any(isinstance(update, ImageReady) for update in updates), name
    await door.works(family)


@pytest.mark.parametrize(
    ("changes", "code", "nearest"),
    [
        *(({"width": got}, "size_unsupported", 8) for got in (-(10**30), -8, 0, 1, 7)),
        *(({"height": got}, "size_unsupported", 2 * SIDE) for got in (2 * SIDE + 1, 100_000, 10**400)),
        *(({"num_inference_steps": got}, "steps_out_of_range", 1) for got in (-1, 0)),
        *(({"num_inference_steps": got}, "steps_out_of_range", 500) for got in (501, 10**30)),
        ({"sampler": "lcm", "num_inference_steps": 51}, "steps_out_of_range", 50),
        *(({"guidance_scale": got}, "guidance_out_of_range", 0) for got in (-0.1, -math.inf, math.nan)),
        *(({"guidance_scale": got}, "guidance_out_of_range", 100) for got in (100.1, math.inf)),
        *(({"strength": got}, "strength_out_of_range", None) for got in (0.0, 1.1, math.nan)),
        ({"sampler": "magic"}, "sampler_unknown", None),
        ({"prompt": "half a pair \ud83d"}, "prompt_not_text", None),
        ({"negative_prompt": "\udc00"}, "prompt_not_text", None),
        ({"prompt": "a::" * 1333}, "prompt_parts_out_of_range", None),
        ({"negative_prompt": "a:: b::2 " * 17}, "prompt_parts_out_of_range", None),
        ({"operation": Operation.INPAINT, "init_image": Path("picture.png")}, "mask_mismatch", None),
        ({"mask": Path("mask.png")}, "mask_mismatch", None),
        ({"operation": Operation.IMAGE_TO_IMAGE}, "init_image_mismatch", None),
    ],
)
async def test_the_door_refuses(
    folders: dict[str, Path], changes: Any, code: str, nearest: int | None
) -> None:
    door = Door({"sd": folders["sd"]})
    with pytest.raises(RequestRejected) as caught:
        door.engine.submit(door.request(**changes))
    assert caught.value.code == code
    if nearest is not None:
        assert caught.value.values["nearest"] == nearest
        assert f"The nearest is {nearest}" in str(caught.value)
    assert not door.engine._streams
    await door.engine.close()


async def test_sizes_in_between_are_rounded_and_said(door: Door) -> None:
    for family, multiple in (("sd", 8), ("sdxl", 8), ("flux", 4), ("z-image", 4), ("pixart", 16)):
        info = next(model for model in door.engine.models() if model.name == str(door.folders[family]))
        assert info.size_multiple == multiple
        least, most = info.min_side, info.max_side
        for asked in {least, least + 1, least + multiple // 2, (least + most) // 2 + 1}:
            got = (2 * asked + multiple) // (2 * multiple) * multiple
            updates, output = await door.make(family, width=asked, height=least, num_inference_steps=1)
            assert output.finish_reason is FinishReason.COMPLETED, (family, asked, output.error)
            picture = next(update for update in updates if isinstance(update, ImageReady))
            assert picture.pixels.shape == (least, got, 3)
            assert output.rounded_to == (None if asked == got else (got, least))


async def test_the_size_of_a_first_pass_is_rounded_and_said(door: Door) -> None:
    for asked, rounded_to in ((16, None), (18, (16, 16)), (23, (24, 16))):
        request = with_params(door.request(), hires=Hires(width=asked, height=16))
        _, output = await read(door.engine.submit(request))
        assert output.finish_reason is FinishReason.COMPLETED, output.error
        assert (output.rounded_to, output.hires_rounded_to) == (None, rounded_to)


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "z-image"])
async def test_cut_off_words_are_told_of_the_negative_prompt_too(door: Door, family: str) -> None:
    long = "a red cat " * 40
    for scale in (2.0, 0.0):
        _, output = await door.make(
            family, prompt=f"{long}end", negative_prompt=f"{long}last", guidance_scale=scale
        )
        assert "end" in output.unread_words
        # Only FLUX.1 [dev] reads a negative prompt whatever its guidance scale.
        read_too = scale > 0 or family == "flux"
        assert output.unread_words[-1] == ("last" if read_too else "end")


def write_files(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.save(folder / "good.png")
    for mode in ("L", "P", "RGBA", "LA", "1", "I;16"):
        made = Image.new("I;16", (SIDE, SIDE)) if mode == "I;16" else picture.convert(mode)
        made.save(folder / f"{mode.replace(';', '')}.png")
    picture.convert("CMYK").save(folder / "CMYK.jpg")
    picture.resize((3, 1)).save(folder / "tiny.webp")
    whole = (folder / "good.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "spoilt.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "folder.png").mkdir()
    Image.new("L", (SIDE, SIDE)).save(folder / "black.png")
    Image.new("L", (SIDE, SIDE), 255).save(folder / "white.png")
    return folder


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "z-image"])
async def test_pictures_and_masks(door: Door, tmp_path: Path, family: str) -> None:
    files = write_files(tmp_path)
    unreadable = ("cut.png", "spoilt.png", "empty.png", "text.png", "folder.png", "gone.png")
    cases: list[tuple[dict[str, str], str | None]] = [
        *(({"init_image": name}, "picture_unreadable") for name in unreadable),
        *(({"init_image": "good.png", "mask": name}, "picture_unreadable") for name in unreadable),
        ({"init_image": "good.png", "mask": "black.png"}, "mask_empty"),
        ({"init_image": "good.png", "mask": "white.png"}, None),
        *(
            ({"init_image": name}, None)
            for name in ("L.png", "P.png", "RGBA.png", "LA.png", "1.png", "I16.png", "CMYK.jpg", "tiny.webp")
        ),
        ({"init_image": "tiny.webp", "mask": "RGBA.png"}, None),
    ]
    for names, code in cases:
        given = {key: files / name for key, name in names.items()}
        _, output = await door.make(family, strength=0.5, **given)
        assert (output.error.code if output.error else None) == code, (names, output.error)
        if output.error is not None and code == "picture_unreadable":
            assert list(names.values())[-1] in str(output.error)
    await door.works(family)


def hook(door: Door, stage: Any, part: str, request_id: str) -> None:
    """Abort while the engine is in a part of a request's work."""
    work = getattr(type(stage), part)

    def aborted(argument: Any) -> Any:
        of = [argument.request] if part == "begin" else argument
        if any(each.request_id == request_id for each in of):
            door.engine.abort(request_id)
        return work(stage, argument)

    setattr(stage, part, aborted)


@pytest.mark.parametrize("family", ["sd", "z-image", "pixart"])
async def test_aborts_at_every_stage(door: Door, family: str) -> None:
    # Loading: nothing of the model is there yet.
    stream = door.engine.submit(door.request(family))
    door.engine.abort(stream.request_id)
    assert (await read(stream))[1].finish_reason is FinishReason.ABORTED
    await door.works(family)
    stage = door.worker._residency.family(str(door.folders[family])).stages[0]
    for part, steps in (("begin", 50), ("denoise", 50), ("preview", 50), ("finish", 2)):
        request = door.request(family, num_inference_steps=steps, seeds=(1, 2))
        hook(door, stage, part, request.request_id)
        updates, output = await read(door.engine.submit(request))
        # Whoever aborts while the last picture is decoded may find it done.
        wanted = (
            {FinishReason.ABORTED, FinishReason.COMPLETED} if part == "finish" else {FinishReason.ABORTED}
        )
        assert output.finish_reason in wanted, part
        if part != "finish":
            assert not any(isinstance(update, ImageReady) for update in updates), part
        delattr(stage, part)
        await door.works(family)
    # Queued behind another, and after the end.
    long, queued = (door.engine.submit(door.request(family, num_inference_steps=20)) for _ in range(2))
    door.engine.abort(queued.request_id)
    assert (await read(queued))[1].finish_reason is FinishReason.ABORTED
    assert (await read(long))[1].finish_reason is FinishReason.COMPLETED
    door.engine.abort(long.request_id)
    await door.works(family)


async def test_no_numbers(door: Door) -> None:
    """In half precision once more in float32; an abort while that is being loaded leaves nothing."""
    await door.works()
    stage: Any = door.worker._residency.family(str(door.folders["sd"])).stages[0]

    def spoil(_: Any, args: Any, output: Any) -> None:
        output[0][:1] = torch.nan

    handle = stage._unet.register_forward_hook(spoil)
    bad, good = (door.engine.submit(door.request(seeds=(index,))) for index in range(2))
    outputs = [output for _, output in await asyncio.gather(read(bad), read(good))]
    assert [output.finish_reason for output in outputs] == [FinishReason.COMPLETED] * 2
    aborted = door.engine.submit(door.request(num_inference_steps=1))
    async for item in aborted:
        if isinstance(item, RequestOutput):
            break
        door.engine.abort(aborted.request_id)
    handle.remove()
    await door.works()


async def test_an_id_in_use_harms_nobody(door: Door) -> None:
    request = door.request(num_inference_steps=20)
    stream = door.engine.submit(request)
    with pytest.raises(RequestRejected) as caught:
        door.engine.submit(replace(request, prompt="another"))
    assert caught.value.code == "request_id_in_use"
    assert (await read(stream))[1].finish_reason is FinishReason.COMPLETED
