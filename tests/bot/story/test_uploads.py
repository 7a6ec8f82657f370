"""Uploaded pictures as people see them: /describe, /blend and /variations, and what their buttons make."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from engine import DescribeRequest, FinishReason, Operation, RequestOutput, TextReady
from tests.bot.stage import IMPATIENT, SMALL_MODEL, ScriptedEngine, bot_at
from tests.bot.story.scenes import is_grid, is_single, private_answer, said

FOUND = ("a red sailboat", "a boat at sea, oil painting", "a harbour", "calm water")
# It compares nothing, so that the engine is asked for nothing but what people ask for.
CLIP = replace(SMALL_MODEL, name="clip", operations=(Operation.DESCRIBE,))
UNCLIP = replace(
    SMALL_MODEL, name="unclip", family="kandinsky", operations=(Operation.TEXT_TO_IMAGE, Operation.VARIATION)
)


class Engine(ScriptedEngine):
    """One that describes pictures too, and draws after them."""

    def __init__(self, *models) -> None:
        super().__init__()
        self.offered = models or (SMALL_MODEL, UNCLIP, CLIP)

    def models(self):
        return self.offered

    def describe(self, request: DescribeRequest) -> None:
        for index, text in enumerate(FOUND):
            self._streams[request.request_id].put(TextReady(index, text))
        self._end(
            request.request_id,
            RequestOutput(request_id=request.request_id, finish_reason=FinishReason.COMPLETED),
        )


@pytest.fixture
def engine() -> Engine:
    return Engine()


def photo(size=(90, 60), **options) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, options.pop("format", "JPEG"), **options)
    return out.getvalue()


async def described(user, engine, number=1):
    await user.slash("describe", picture=await user.upload("boat.jpg", photo()))
    request = await engine.request(number)
    engine.describe(request)
    return request, await user.wait_for(lambda m: is_single(m) and said(m, FOUND[0]))


async def test_describe_posts_the_picture_once_with_four_prompts_that_can_be_made(client, engine, mia, theo):
    request, result = await described(mia, engine)
    assert isinstance(request, DescribeRequest)
    assert request.model == "clip"
    assert Image.open(request.image).size == (90, 60)
    assert all(f"**{number}.** {text}" in result["content"] for number, text in enumerate(FOUND, 1))
    await theo.click(result, "2")
    made = await engine.request(2)
    assert made.prompt == FOUND[1]
    engine.finish(made)
    await theo.wait_for(lambda m: is_grid(m) and said(m, f"**{FOUND[1]}** – <@{theo.id}>"))
    await mia.click(result, "🔄")
    again = await engine.request(3)
    assert isinstance(again, DescribeRequest)
    assert again.seeds != request.seeds
    assert sum(is_single(message) for message in mia.messages()) == 1


async def test_a_restart_goes_on_describing_and_old_buttons_work(playground, engine, tmp_path, mia):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        _, result = await described(mia, engine)
        await mia.slash("describe", picture=await mia.upload("boat.jpg", photo()))
        first = await engine.request(2)
    again = Engine()
    async with bot_at(playground, tmp_path, again, clock=IMPATIENT):
        request = await again.request()
        assert request.seeds == first.seeds
        again.describe(request)
        await mia.wait_for(lambda m: is_single(m) and m["id"] != result["id"])
        await mia.click(result, "1")
        assert (await again.request(2)).prompt == FOUND[0]


async def test_cancel_while_a_picture_is_described(client, engine, mia):
    await mia.slash("describe", picture=await mia.upload("boat.jpg", photo()))
    request = await engine.request()
    await mia.click(await mia.wait_for(lambda m: said(m, "A picture described")), "Cancel")
    await mia.wait_for(lambda m: said(m, "(Cancelled)"))
    assert engine.aborted == [request.request_id]


async def test_blend_draws_after_the_pictures_and_a_strip_is_a_row(client, engine, mia):
    pictures = {f"image{number}": await mia.upload(f"{number}.jpg", photo()) for number in (1, 2)}
    await mia.slash("blend", **pictures, strip=True)
    request = await engine.request()
    assert request.operation is Operation.VARIATION
    assert request.model == "unclip"
    assert len(request.reference.pictures) == 2
    assert request.reference.strip
    assert len(set(request.seeds)) == 1
    engine.finish(request)
    strip = await mia.wait_for(is_grid)
    assert strip["attachments"][0]["width"] > 3 * strip["attachments"][0]["height"]
    await mia.click(strip, "V3")
    vary = await engine.request(2)
    assert vary.operation is Operation.VARIATION
    assert not vary.reference.strip
    await mia.click(strip, "🔄")
    assert (await engine.request(3)).reference.strip


async def test_variations_of_an_upload_need_no_words(client, engine, mia):
    await mia.slash("variations", image=await mia.upload("boat.jpg", photo()))
    request = await engine.request()
    assert (request.prompt, len(request.reference.pictures)) == ("", 1)
    engine.finish(request)
    await mia.wait_for(lambda m: is_grid(m) and said(m, "**Variations of a picture** –"))


async def test_uploads_that_are_no_pictures_are_refused(client, engine, mia):
    await mia.slash(
        "describe", picture=await mia.upload("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    )
    await private_answer(mia, "a.svg is no picture")
    await mia.slash("describe", picture=await mia.upload("cut.jpg", photo((400, 400))[:600]))
    await mia.wait_for(lambda m: said(m, "(Failed)") and said(m, "damaged"))
    await mia.slash(
        "blend",
        image1=await mia.upload("1.jpg", photo()),
        image2=await mia.upload("2.jpg", photo()),
        image3=await mia.upload("3.jpg", photo()),
        strip=True,
    )
    await private_answer(mia, "takes two pictures")
    assert engine.requests == []


async def test_without_a_model_that_can_it_is_said(playground, tmp_path, mia):
    async with bot_at(playground, tmp_path, Engine(SMALL_MODEL), clock=IMPATIENT):
        picture = await mia.upload("boat.jpg", photo())
        await mia.slash("describe", picture=picture)
        await private_answer(mia, "FOURFOLD_CLIP")
        await mia.slash("variations", image=await mia.upload("boat.jpg", photo()))
        await private_answer(mia, "FOURFOLD_MODEL")
