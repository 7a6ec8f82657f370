"""Sentences in the language that the asker's Discord is set to, also after a restart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import texts
from bot.playground import Playground
from bot.playground.state import Interaction
from engine import GenerationFailed
from tests.bot.stage import IMPATIENT, ScriptedEngine, bot_at

GERMAN = """
[message]
waiting = "Wartet"
percent = "{percent} Prozent"
seed = "-# Startwert {seed}"
failed = "Misslungen"
button_cancel = "Abbrechen"
button_retry = "Nochmal"
info_none = "keine"
[error]
out_of_memory = "Der Speicher reicht nicht."
prompt_empty = "Der Prompt ist leer."
"""


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second locale, which says only a part of what English says."""
    folder = tmp_path / "texts"
    shutil.copytree(str(texts.FOLDER / "en"), folder / "en")
    (folder / "de").mkdir()
    (folder / "de" / "all.toml").write_text(GERMAN, encoding="utf-8")
    monkeypatch.setattr(texts, "FOLDER", folder)
    texts._sentences.cache_clear()
    yield
    monkeypatch.undo()
    texts._sentences.cache_clear()


@pytest.fixture
def discord_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Discord in another language, for everybody."""

    def choose(locale: str) -> None:
        def interaction(**fields: Any) -> Interaction:
            return Interaction(**{**fields, "locale": locale})

        monkeypatch.setattr("bot.playground.interactions.Interaction", interaction)

    return choose


async def test_a_job_speaks_its_owners_language_also_after_a_restart(german, discord_in, tmp_path):
    first, second = ScriptedEngine(), ScriptedEngine()
    async with Playground(home=None) as playground:
        mia = playground.user("Mia")
        discord_in("de")
        async with bot_at(playground, tmp_path, first, clock=IMPATIENT):
            await mia.slash("imagine", prompt="a cat --seed 7")
            shown = await mia.wait_for(lambda m: "(Wartet" in m["content"])
            assert mia.button(shown, "Abbrechen")
            first.progress(await first.request(), 10)
            await mia.wait_for(lambda m: "(50 Prozent)" in m["content"])
            await mia.slash("imagine", prompt=" ")
            await mia.wait_for(lambda m: m["content"] == "Der Prompt ist leer.")
            await mia.slash("info")
            await mia.wait_for(lambda m: m["flags"] & 64 and "**Model** Test" in m["content"])
        discord_in("en-GB")
        async with bot_at(playground, tmp_path, second, clock=IMPATIENT):
            again = await second.request()
            second.progress(again, 12)
            running = await mia.wait_for(lambda m: "(60 Prozent)" in m["content"])
            assert mia.button(running, "Abbrechen")
            second.finish(again)
            await mia.wait_for(lambda m: "-# Startwert 7" in m["content"])
            await mia.slash("imagine", prompt="a dog")
            await mia.wait_for(lambda m: "(Waiting to start" in m["content"])


async def test_a_failure_is_told_in_the_owners_language(german, discord_in, tmp_path):
    engine = ScriptedEngine()
    async with Playground(home=None) as playground:
        mia = playground.user("Mia")
        discord_in("de")
        async with bot_at(playground, tmp_path, engine, clock=IMPATIENT):
            await mia.slash("imagine", prompt="a cat")
            engine.fail(await engine.request(), GenerationFailed("out_of_memory", "CUDA out of memory"))
            failed = await mia.wait_for(lambda m: "(Misslungen)" in m["content"])
            assert failed["content"].endswith("Der Speicher reicht nicht.")
            assert mia.button(failed, "Nochmal")
