"""Remix as people see it: a form with the old words in it, and variations that follow the new ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import Operation
from tests.bot.stage import IMPATIENT, SMALL_MODEL, ScriptedEngine, bot_at
from tests.bot.story.scenes import PROMPT, grid_of, is_grid, is_single, private_answer, said

UNCLIP = replace(
    SMALL_MODEL, name="unclip", family="kandinsky", operations=(Operation.TEXT_TO_IMAGE, Operation.VARIATION)
)


def custom_ids(opened) -> list[str]:
    return [label["component"]["custom_id"] for label in opened.modal["components"]]


async def test_a_grid_is_remixed_with_other_words(client, engine, mia, theo):
    grid = await grid_of(mia, engine, f"{PROMPT} --ar 3:2 --seed 7")
    opened = await theo.click(grid, "Remix")
    assert custom_ids(opened) == ["prompt", "picture"]
    assert opened.modal["components"][0]["component"]["value"] == f"{PROMPT} --ar 3:2"
    await theo.submit(opened, {"prompt": "a green boat --no sun", "picture": ["2"]})
    request = await engine.request(2)
    assert (request.prompt, request.params.negative_prompt) == ("a green boat", "sun")
    assert request.operation is Operation.IMAGE_TO_IMAGE
    assert request.params.width == request.params.height
    engine.finish(request)
    remixed = await theo.wait_for(
        lambda m: is_grid(m) and said(m, "**a green boat --no sun** – Variations by")
    )
    await theo.click(remixed, "U3")
    single = await theo.wait_for(is_single)
    opened = await mia.click(single, "Remix")
    assert custom_ids(opened) == ["prompt"]
    await mia.submit(opened, {"prompt": "a blue boat"})
    assert (await engine.request(3)).prompt == "a blue boat"


@pytest.mark.parametrize(("how", "moved_from"), [(None, PROMPT), ("move", PROMPT), ("redraw", None)])
async def test_new_words_move_the_picture_or_draw_it_anew(playground, tmp_path, mia, how, moved_from):
    engine = ScriptedEngine(UNCLIP)
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        grid = await grid_of(mia, engine)
        opened = await mia.click(grid, "Remix")
        assert custom_ids(opened) == ["prompt", "picture", "how"]
        await mia.submit(opened, {"prompt": "a green sailboat", "how": how})
        request = await engine.request(2)
        assert request.operation is Operation.VARIATION
        assert (request.prompt, request.reference.moved_from) == ("a green sailboat", moved_from)
        engine.finish(request)
        await mia.wait_for(lambda m: is_grid(m) and said(m, "a green sailboat"))
        await mia.click(grid, "V1")
        assert (await engine.request(3)).reference.moved_from is None


async def test_a_form_that_was_open_during_a_restart_is_answered(playground, engine, tmp_path, mia):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        opened = await mia.click(await grid_of(mia, engine), "Remix")
    again = ScriptedEngine()
    async with bot_at(playground, tmp_path, again, clock=IMPATIENT):
        await mia.submit(opened, {"prompt": "a green boat"})
        assert (await again.request()).prompt == "a green boat"


async def test_two_people_may_have_the_same_form_open(client, engine, mia, theo):
    grid = await grid_of(mia, engine)
    hers, his = await mia.click(grid, "Remix"), await theo.click(grid, "Remix")
    await mia.submit(hers, {"prompt": "hers"})
    await theo.submit(his, {"prompt": "his"})
    assert {(await engine.request(number)).prompt for number in (2, 3)} == {"hers", "his"}


async def test_what_was_typed_comes_back_with_what_was_wrong(client, engine, mia, theo):
    grid = await grid_of(mia, engine)
    opened = await theo.click(grid, "Remix")
    await theo.submit(opened, {"prompt": "a green boat --ar 0:1"})
    answer = await private_answer(theo, "--ar")
    assert said(answer, "You typed: a green boat --ar 0:1")
    opened = await theo.click(grid, "Remix")
    await mia.click(grid, "🗑️")
    await mia.wait_gone(grid)
    await theo.submit(opened, {"prompt": "long " * 100})
    answer = await private_answer(theo, "You typed: long long")
    assert (await theo.fetch(answer["attachments"][0])).decode() == "long " * 100
    assert len(engine.requests) == 1


async def test_a_remix_may_ask_for_another_model(playground, tmp_path, mia):
    class Both(ScriptedEngine):
        def models(self):
            return replace(SMALL_MODEL, name="fourfold-mini"), replace(UNCLIP, name="fourfold-unclip")

    engine = Both()
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
        grid = await grid_of(mia, engine)
        opened = await mia.click(grid, "Remix")
        await mia.submit(opened, {"prompt": "a boat --v unclip"})
        request = await engine.request(2)
        assert (request.model, request.operation) == ("fourfold-unclip", Operation.VARIATION)
        engine.finish(request)
        other = await mia.wait_for(lambda m: is_grid(m) and said(m, "unclip"))
        opened = await mia.click(other, "Remix")
        assert opened.modal["components"][0]["component"]["value"] == "a boat --v unclip"
        await mia.submit(opened, {"prompt": "a boat"})
        assert (await engine.request(3)).model == "fourfold-unclip"
