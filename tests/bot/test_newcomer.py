"""The newcomer's story: `fourfold play` in a process of its own, a real browser, the embedded model.

Type /imagine, watch it sharpen, click U2, V3 and 🔄; stop the program, start it again, and click the old buttons.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bot.playground.page_fixture import BROWSER_FLAGS, DESKTOP, PHONE, Tab, find_browser, open_tab

playwright_api = pytest.importorskip(
    "playwright.async_api", reason="Playwright's Python package is not installed"
)
expect = playwright_api.expect
BROWSER = find_browser()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH"),
]

PROMPT = "a red sailboat on a calm sea at sunset, watercolor"
PATIENCE_MS = 90_000
# Every text that the newest bot message has shown, and whether there was a picture with it.
WATCH_PROGRESS = """() => {
    window.seen = [];
    const look = () => {
        const message = [...document.querySelectorAll(".pane:not([hidden]) .message")].at(-1);
        if (message) {
            const state = [message.innerText, message.querySelectorAll(".picture img").length > 0];
            const last = window.seen.at(-1);
            if (!last || last[0] !== state[0] || last[1] !== state[1]) window.seen.push(state);
        }
        requestAnimationFrame(look);
    };
    look();
}"""


@asynccontextmanager
async def fourfold_play(home: Path, *arguments: str) -> AsyncIterator[str]:
    """`fourfold play` until the block ends; yields the address it prints. Stopped by SIGTERM, as a person's Ctrl-C would."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("FOURFOLD_", "DISCORD_"))
    }
    code = "import sys; from bot.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        "play",
        *arguments,
        env={**clean, "FOURFOLD_HOME": str(home), "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        address = None
        async with asyncio.timeout(60):
            while address is None:
                line = await process.stdout.readline()
                assert line, "fourfold play ended before it printed its address"
                address = re.search(rb"http://127\.0\.0\.1:\d+/\S*", line)
        yield address.group().decode()
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)
    if sys.platform != "win32":
        assert process.returncode == 0


def grids(tab: Tab) -> Any:
    """Every message with the buttons of a grid."""
    return tab.pane.locator(".message").filter(has=tab.page.get_by_role("button", name="U1", exact=True))


def singles(tab: Tab) -> Any:
    """Every message with a picture that is not a grid or a preview."""
    return tab.pane.locator(".message", has_text="Image #").filter(has=tab.page.locator(".picture img"))


@asynccontextmanager
async def told(tab: Tab) -> AsyncIterator[None]:
    """A failure in the block says what stood on the page."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"The page showed:\n{await tab.pane.inner_text()}\nErrors: {tab.errors}")
        raise


async def test_the_newcomers_story(tmp_path: Path) -> None:
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        window = await browser.new_context(**DESKTOP)
        async with fourfold_play(tmp_path) as address, open_tab(window, address) as tab, told(tab):
            await tab.page.locator(".composer").wait_for()
            await tab.page.evaluate(WATCH_PROGRESS)
            await tab.type_line(f"/imagine prompt: {PROMPT} --seed 7")
            await expect(grids(tab)).to_have_count(1, timeout=PATIENCE_MS)
            seen = await tab.page.evaluate("window.seen")
            texts = [text for text, _ in seen]
            assert any("(Waiting to start)" in text for text in texts), texts
            assert any(re.search(r"\(\d+%\)", text) and picture for text, picture in seen), texts
            grid = grids(tab).first
            await expect(grid).to_contain_text(PROMPT)
            for button in ("U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4"):
                await expect(grid.get_by_role("button", name=button, exact=True)).to_be_visible()
            await tab.page.screenshot(path=tmp_path / "grid.png")

            await grid.get_by_role("button", name="U2", exact=True).click()
            await expect(singles(tab)).to_have_count(1, timeout=PATIENCE_MS)
            await expect(singles(tab).first).to_contain_text("Image #2")
            await grids(tab).first.get_by_role("button", name="V3", exact=True).click()
            await expect(grids(tab)).to_have_count(2, timeout=PATIENCE_MS)
            await grids(tab).first.get_by_role("button", name="🔄").click()
            await expect(grids(tab)).to_have_count(3, timeout=PATIENCE_MS)
            await tab.page.screenshot(path=tmp_path / "after-buttons.png")
            assert await tab.sideways_overflow() == 0

        async with fourfold_play(tmp_path) as address, open_tab(window, address) as tab, told(tab):
            await expect(grids(tab)).to_have_count(3, timeout=PATIENCE_MS)
            await expect(singles(tab)).to_have_count(1)
            await grids(tab).first.get_by_role("button", name="U4", exact=True).click()
            await expect(singles(tab)).to_have_count(2, timeout=PATIENCE_MS)
            await grids(tab).last.get_by_role("button", name="V1", exact=True).click()
            await expect(grids(tab)).to_have_count(4, timeout=PATIENCE_MS)
            phone = await browser.new_context(**PHONE)
            async with open_tab(phone, address) as small, told(small):
                await expect(grids(small)).to_have_count(4, timeout=PATIENCE_MS)
                await small.page.screenshot(path=tmp_path / "phone.png")
                assert await small.sideways_overflow() == 0

        async with fourfold_play(tmp_path, "--reset") as address, open_tab(window, address) as tab, told(tab):
            await expect(tab.page.locator(".composer")).to_be_visible()
            await expect(grids(tab)).to_have_count(0)
        await browser.close()
