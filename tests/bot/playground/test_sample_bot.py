"""An unmodified discord.py client in its own process, over real HTTP and WebSocket."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.playground import DiscordError, Playground, reset
from tests.bot.playground.raw_bot import png
from tests.bot.playground.sample import sample_bot


async def test_the_story_with_restarts(tmp_path: Path) -> None:
    async with Playground(tmp_path) as playground, sample_bot(playground, kill=True):
        mia, theo = playground.user("Mia"), playground.user("Theo")
        assert [choice["value"] for choice in await mia.complete("imagine", "style", "i", prompt="x")] == [
            "ink",
            "oil",
        ]
        upload = await mia.upload("start.png", png(20, 10))
        assert (await mia.slash("imagine", prompt="a boat", style="ink", image=upload)).kind == "ok"
        grid = await theo.wait_for(lambda message: "done" in message["content"])
        assert grid["content"].endswith(f"(done) ink {upload['size']}")
        assert [picture["filename"] for picture in grid["attachments"]] == ["grid.png"]
        assert await theo.fetch(grid["attachments"][0])
        playground.faults.drop_sockets()
        assert (await theo.click(grid, "U3")).kind == "ok"
        await mia.wait_for(lambda message: message["content"] == "Picture 3")
        assert (await mia.slash("whisper", text="psst")).kind == "ok"
        await mia.wait_for(lambda message: "by direct message" in message["content"], channel="dm")
        assert not any("psst" in message["content"] for message in theo.messages())
        with pytest.raises(DiscordError, match="50013"):
            await mia.slash("setup")  # Only moderators may, in the guild.
        with pytest.raises(DiscordError):
            await mia.slash("gallery")  # Age-restricted commands only in such channels.
        token, key = playground.bot_token, playground.page_url.rpartition("=")[2]

    # Both were stopped: the channel, its pictures and every old button are still there.
    async with Playground(tmp_path) as playground:
        theo = playground.user("Theo")
        assert (playground.bot_token, playground.page_url.rpartition("=")[2]) == (token, key)
        again = theo.message(grid["id"])
        assert again is not None
        assert again["content"] == grid["content"]
        assert await theo.fetch(again["attachments"][0])
        async with sample_bot(playground):
            assert (await theo.click(again, "U1")).kind == "ok"
            await theo.wait_for(lambda message: message["content"] == "Picture 1")
            remix = await theo.click(again, "Remix")
            assert remix.kind == "modal"
            assert (
                await theo.submit(remix, {"Prompt": "blue", "Strength": ["high"], "Image": []})
            ).kind == "ok"
            await theo.wait_for(lambda message: message["content"] == "remix blue high 0")

    reset(tmp_path)
    async with Playground(tmp_path) as playground:
        assert playground.user("Theo").messages() == []
        assert playground.bot_token != token
