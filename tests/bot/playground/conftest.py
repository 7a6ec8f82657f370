from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bot.playground import JumpingClock, Playground
from tests.bot.playground.page_fixture import BROWSER_FLAGS, DESKTOP, Rest, Tab, find_browser, open_tab
from tests.bot.playground.raw_bot import RawBot
from tests.bot.playground.sample import sample_bot


@pytest.fixture
def clock() -> JumpingClock:
    """Stands still until a test moves it."""
    return JumpingClock(frozen=True)


@pytest.fixture
async def playground(clock: JumpingClock) -> AsyncIterator[Playground]:
    async with Playground(None, clock=clock) as running:
        yield running


@pytest.fixture
async def bot(playground: Playground) -> AsyncIterator[RawBot]:
    """Connected, with one slash command `draw` (required `prompt`, optional `image`)."""
    async with RawBot(playground) as connected:
        options = [
            {"type": 3, "name": "prompt", "description": "what", "required": True, "max_length": 4000},
            {"type": 11, "name": "image", "description": "from"},
        ]
        await connected.put_commands([{"name": "draw", "description": "Draw", "options": options}])
        yield connected


@pytest.fixture
def general(playground: Playground) -> str:
    return playground.channel("general").id


# For the tests of the page: one browser, one stand-in with the sample bot and one tab for a whole module.
module_fixture = pytest_asyncio.fixture(scope="module", loop_scope="module")


@module_fixture
async def browser() -> AsyncIterator[Any]:
    playwright_api = pytest.importorskip(
        "playwright.async_api", reason="Playwright's package is not installed"
    )
    async with playwright_api.async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=find_browser(), args=BROWSER_FLAGS)
        yield running
        await running.close()


@module_fixture
async def stage() -> AsyncIterator[Playground]:
    async with Playground(None) as playground, sample_bot(playground):
        yield playground


@module_fixture
async def rest(stage: Playground) -> AsyncIterator[Rest]:
    async with aiohttp.ClientSession() as session:
        yield Rest(stage, session)


@module_fixture
async def desktop(browser: Any) -> Any:
    """One window for all tests: its cookies and cache are shared, its tabs are not."""
    return await browser.new_context(**DESKTOP)


@module_fixture
async def mias_tab(desktop: Any, stage: Playground) -> AsyncIterator[Tab]:
    async with open_tab(desktop, stage.page_url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def tab(mias_tab: Tab) -> AsyncIterator[Tab]:
    """The same tab for every test, since loading one takes a while: Mia in #general, nothing typed yet."""
    await mias_tab.page.bring_to_front()
    await mias_tab.begin("Mia", "general")
    yield mias_tab
    assert mias_tab.errors == []
