"""The keyboard on the page: what opens and closes gives the focus back; files that nobody wants any more are let go of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.playground import Playground
from tests.bot.playground.page_fixture import PHONE, Tab, find_browser, open_tab, png

playwright_api = pytest.importorskip(
    "playwright.async_api", reason="Playwright's Python package is not installed"
)
expect = playwright_api.expect
expect.set_options(timeout=60_000)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH"),
]

# Which object URLs the page has made and not revoked, and how many uploads it has broken off.
WATCH_FILES = """() => {
    if (window.held) return;
    window.held = new Set();
    window.aborted = 0;
    const { createObjectURL, revokeObjectURL } = URL;
    URL.createObjectURL = (file) => {
        const address = createObjectURL.call(URL, file);
        window.held.add(address);
        return address;
    };
    URL.revokeObjectURL = (address) => {
        window.held.delete(address);
        revokeObjectURL.call(URL, address);
    };
    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (...values) {
        this.addEventListener("abort", () => (window.aborted += 1));
        open.apply(this, values);
    };
}"""


def file(name: str = "start.png") -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "image/png", "buffer": png("gold")}]


async def test_a_modal_and_its_list(tab: Tab) -> None:
    page, keyboard = tab.page, tab.page.keyboard
    await page.evaluate(WATCH_FILES)
    await tab.type_line("/imagine focus")
    remix = tab.message("(done)").get_by_role("button", name="Remix", exact=True)
    await remix.focus()
    await keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Remix")
    await expect(dialog.get_by_role("textbox", name="Prompt")).to_be_focused()
    await dialog.locator("input[type=file]").set_input_files(file())
    strength = dialog.get_by_role("combobox", name="Strength")
    await strength.focus()
    await keyboard.press("ArrowDown")
    await expect(strength).to_have_attribute("aria-expanded", "true")
    await keyboard.press("Escape")
    await expect(strength).to_be_focused()
    await expect(strength).to_have_attribute("aria-expanded", "false")
    # The next Escape is for the dialog; the button was drawn anew while it waited for the bot.
    await keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(remix).to_be_focused()
    assert await page.evaluate("window.held.size") == 0


async def test_menus_toggle(tab: Tab) -> None:
    page = tab.page
    switcher = page.get_by_title("Act as another member")
    await switcher.click()
    await expect(switcher).to_have_attribute("aria-expanded", "true")
    await expect(page.get_by_role("menuitemradio", checked=True)).to_be_focused()
    await switcher.click()
    await expect(page.get_by_role("menu")).to_have_count(0)
    await switcher.click()
    await page.keyboard.press("End")
    await page.keyboard.press("Escape")
    await expect(switcher).to_be_focused()
    await expect(switcher).to_have_attribute("aria-expanded", "false")


async def test_a_dismissed_message_leaves_the_focus_in_the_channel(tab: Tab) -> None:
    await tab.type_line("/whisper secret")
    private = tab.message("secret again")
    await private.get_by_role("button", name="Dismiss message").press("Enter")
    await expect(private).to_have_count(0)
    await expect(tab.pane.locator(".pane-scroller")).to_be_focused()


async def test_the_drawer_of_a_phone(browser: Any, stage: Playground) -> None:
    async with open_tab(await browser.new_context(**PHONE), stage.page_url) as tab:
        page = tab.page
        opener = page.get_by_role("button", name="Show the channel list")
        general = page.get_by_role("navigation").get_by_role("button", name="general")
        for close in (
            page.keyboard.press("Escape"),
            page.get_by_role("button", name="Close the channel list").tap(),
            page.locator(".drawer-shade").tap(position={"x": 380, "y": 300}),
        ):
            await opener.focus()
            await page.keyboard.press("Enter")
            await expect(general).to_be_focused()
            # Nothing beneath can be reached.
            await expect(page.locator("main")).to_have_js_property("inert", True)
            await close
            await expect(page.get_by_role("navigation")).not_to_be_in_viewport()
            await expect(opener).to_be_focused()
            await expect(opener).to_have_attribute("aria-expanded", "false")
        await opener.tap()
        await page.get_by_role("navigation").get_by_role("button", name="gallery").tap()
        await expect(opener).to_be_focused()
        await expect(page.locator("main")).to_have_js_property("inert", False)


async def test_files_are_let_go_of(tab: Tab) -> None:
    page = tab.page
    await page.evaluate(WATCH_FILES)
    held = "window.held.size"
    chosen = page.locator(".pill input[type=file]")
    remove = page.get_by_role("button", name="Remove start.png")

    await page.locator(".composer-text").fill("/imagine a boat image:")
    await chosen.set_input_files(file())
    await expect(page.locator(".upload-thumbnail")).to_be_visible()
    assert await page.evaluate(held) == 1
    await remove.click()
    await expect(page.get_by_role("button", name="image: choose a file")).to_be_focused()
    assert await page.evaluate(held) == 0

    # One that is still on its way stops, and a form that waited for it goes on without it.
    arrived = asyncio.Event()
    await page.route("**/page/upload", lambda _: arrived.set())
    await chosen.set_input_files(file())
    await arrived.wait()
    await page.get_by_role("button", name="Send").click()
    await remove.click()
    await expect(tab.message("(done)").locator("strong")).to_have_text("a boat")
    assert await page.evaluate("window.aborted") == 1
    assert await page.evaluate(held) == 0
    await page.unroute("**/page/upload")

    # Left, or sent: it is gone.
    for leave in ("Leave this command", "Send"):
        await page.locator(".composer-text").fill("/imagine a ship image:")
        await chosen.set_input_files(file())
        await expect(page.locator(".upload-thumbnail")).to_be_visible()
        await page.get_by_role("button", name=leave).click()
    await expect(tab.message("(done)")).to_contain_text(str(len(png("gold"))))
    assert await page.evaluate(held) == 0
