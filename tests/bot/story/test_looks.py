"""Finding pictures by what they look like, as people see it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from bot.rendering import encode_png
from engine import (
    EmbeddingReady,
    EmbedRequest,
    FinishReason,
    Operation,
    OutputStream,
    RequestOutput,
)
from tests.bot.stage import IMPATIENT, SMALL_MODEL, ScriptedEngine, bot_at
from tests.bot.story.scenes import grid_of, private_answer, said, wait_done

CLIP = replace(SMALL_MODEL, name="clip", operations=frozenset({Operation.EMBED}))


class SeeingEngine(ScriptedEngine):
    """Pictures lie where a test says, texts and the pictures of people at 0 degrees."""

    angle = 0.0

    def models(self):
        return (self.model, CLIP)

    def submit(self, request):
        if not isinstance(request, EmbedRequest):
            return super().submit(request)
        stream = OutputStream(request.request_id)
        for index in range(request.count):
            theirs = index >= len(request.images) or request.images[index].name == "source.png"
            angle = np.radians(0.0 if theirs else self.angle)
            self.angle += 0.0 if theirs else 20.0
            stream.put(EmbeddingReady(index, np.array([np.cos(angle), np.sin(angle)], np.float32)))
        stream.put(RequestOutput(request_id=request.request_id, finish_reason=FinishReason.COMPLETED))
        return stream


@pytest.fixture
def engine() -> SeeingEngine:
    return SeeingEngine()


@pytest.fixture
async def client(playground, engine, tmp_path):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT) as client:
        yield client


async def test_own_pictures_are_found_by_words_and_by_example(client, engine, mia, theo):
    await mia.slash("history", looks_like="a boat")
    await private_answer(mia, "moments after they are posted")
    for number in range(2):
        await grid_of(mia, engine, f"picture {number} --n 4")
    await wait_done(mia)
    async with asyncio.timeout(20):
        await client.services.embeddings.idle.wait()
    await mia.slash("history", looks_like="a boat")
    page = await private_answer(mia, "picture 0")
    assert page["content"].index("Image #1") < page["content"].index("Image #4")
    assert page["attachments"][0]["filename"] == "history.jpg"
    await mia.click(page, "Next")
    second = await private_answer(mia, "**7.**")
    assert said(second, "picture 1")
    example = await mia.upload("boat.png", encode_png(np.zeros((64, 64, 3), np.uint8), ""))
    await mia.slash("history", example=example)
    await private_answer(mia, "picture 0")
    bad = await mia.upload("boat.png", b"<svg/>")
    await mia.slash("history", example=bad)
    await private_answer(mia, "damaged or of a kind that I cannot read")
    await theo.slash("history", looks_like="a boat")
    await private_answer(theo, "moments after they are posted")


async def test_a_grid_like_an_earlier_one_is_remarked_on(client, engine, mia):
    await grid_of(mia, engine, "one --n 1")
    await wait_done(mia)
    async with asyncio.timeout(20):
        await client.services.embeddings.idle.wait()
    engine.angle = 0.0
    await grid_of(mia, engine, "two --n 1")
    remarked = await mia.wait_for(lambda message: said(message, "Image 1 looks like"))
    assert "https://discord.com/channels/" in remarked["content"]
    assert said(remarked, "two")
