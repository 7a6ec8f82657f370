"""What members do on the page, in a real browser, against the stand-in and a real discord.py bot in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bot.playground import Playground
from tests.bot.playground.page_fixture import PHONE, WATCH_PICTURES, Rest, Tab, find_browser, open_tab, png

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

EXAMPLE = "a red sailboat on a calm sea at sunset, watercolor"


async def test_newcomer_makes_a_picture(tab: Tab) -> None:
    page = tab.page
    await page.get_by_role("button", name=EXAMPLE).click()
    await expect(page.locator(".command-name")).to_have_text("/imagine")
    await expect(page.locator(".pill textarea")).to_have_value(EXAMPLE)
    await expect(page.locator(".pill textarea")).to_be_focused()
    await page.evaluate(WATCH_PICTURES)
    await page.keyboard.press("Enter")
    message = tab.message("(done)")
    await expect(message.locator(".context")).to_have_text("MMia used /imagine")
    await expect(message.locator(".tag")).to_have_text("APP")
    await expect(message.locator("strong")).to_have_text(EXAMPLE)
    await expect(message.locator(".message-side .avatar")).to_have_css(
        "background-image", re.compile("conic-gradient")
    )
    await expect(message.locator(".edited")).to_be_visible()
    picture = message.locator("img")
    await expect(picture).to_have_attribute("alt", "a red square")
    await expect(message.get_by_role("button", name="U1", exact=True)).to_be_visible()
    await expect(message.locator(".picture")).to_have_css("width", "256px")
    assert await page.evaluate("window.flashes") == 0

    await message.locator(".picture").click()
    await expect(page.locator("dialog.lightbox")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(message.locator(".picture")).to_be_focused()


async def test_picker_options_and_their_checks(tab: Tab) -> None:
    page = tab.page
    keyboard = page.keyboard
    await page.locator(".composer-text").click()
    await keyboard.type("/")
    options = page.get_by_role("option")
    await expect(options.first).to_contain_text("/imagine")
    # Mia is no moderator and #general is not age-restricted.
    assert not {"/setup", "/gallery"} & set(" ".join(await options.all_inner_texts()).split())
    await keyboard.type("wh")
    await expect(options).to_have_count(1)
    await keyboard.press("Escape")
    await expect(options).to_have_count(0)
    await page.locator(".composer-text").fill("/ima")
    await keyboard.press("Tab")
    await expect(page.locator(".hint-text")).to_contain_text("what to see")
    await expect(page.locator(".hint-text")).to_contain_text("required")
    await keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="prompt is required")).to_be_visible()
    await page.locator(".pill textarea").fill("x" * 4001)
    await keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="4,001 characters; at most 4,000")).to_be_visible()

    await page.locator(".pill textarea").fill("a boat")
    await page.get_by_role("button", name="Add option style").click()
    await keyboard.type("oi")
    await options.filter(has_text="Oil").click()
    await page.get_by_role("button", name="Add option image").click()
    await page.locator(".pill input[type=file]").set_input_files(
        [{"name": "start.png", "mimeType": "image/png", "buffer": png("gold")}]
    )
    await expect(page.locator(".upload-thumbnail")).to_be_visible()
    await page.get_by_role("button", name="Send").click()
    await expect(tab.message(f"(done) oil {len(png('gold'))}")).to_be_visible()


async def test_commands_as_text(tab: Tab) -> None:
    page = tab.page
    # By hand, with the option's name written out, as everybody copies it from a text.
    await tab.type_line("/imagine prompt: typed by hand --ar 3:2")
    await expect(tab.message("(done)").locator("strong")).to_have_text("typed by hand --ar 3:2")
    # Pasted whole, without the name, over several lines.
    await page.locator(".composer-text").fill("/imagine a pasted\nboat style: ink")
    await expect(page.locator(".pill textarea").first).to_have_value("a pasted boat")
    await page.locator(".pill textarea").last.press("Enter")
    await expect(tab.message("(done) ink").locator("strong")).to_have_text("a pasted boat")
    # Wherever the focus is, typing goes on in the box.
    await tab.message("(done) ink").get_by_role("button", name="V4", exact=True).focus()
    await page.keyboard.type("/imagin a boat")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="Did you mean /imagine?")).to_be_visible()
    await expect(page.locator(".composer-text")).to_have_value("/imagin a boat")
    await page.locator(".composer-text").fill("just talking")
    await page.keyboard.press("Enter")
    await expect(tab.message("just talking").locator(".author")).to_have_text("Mia")
    # Drafts stay with their channel, and the last command comes back with the arrow.
    await page.locator(".composer-text").fill("half a thought")
    await tab.open_channel("gallery")
    await expect(page.locator(".composer-text")).to_have_value("")
    await tab.open_channel("general")
    await expect(page.locator(".composer-text")).to_have_value("half a thought")


async def test_buttons_and_modal(tab: Tab, desktop: Any, stage: Playground) -> None:
    page = tab.page
    async with open_tab(desktop, stage.page_url) as other:
        await other.act_as("Theo")
        # A tab in the background draws one frame a second, and clicks wait for frames.
        await page.bring_to_front()
        await tab.type_line("/imagine buttons")
        # Answers quote the grid's text in their reply line, but not in bold.
        grid = tab.pane.locator(".message", has=page.locator("strong", has_text="buttons"))
        await grid.get_by_role("button", name="U2", exact=True).click()
        await expect(other.message("Picture 2").locator(".context")).to_contain_text("buttons")
        await grid.get_by_role("button", name="V3", exact=True).click()
        private = tab.message("V3").filter(has_text="Only you can see this")
        await expect(private).to_be_visible()
        await grid.get_by_role("button", name="Remix", exact=True).click()
        dialog = page.get_by_role("dialog", name="Remix")
        await expect(dialog.locator("input[type=text]")).to_have_value("a red boat")
        await dialog.get_by_role("button", name="Submit").click()
        await expect(dialog.locator(".field-error:visible")).to_have_text("Please choose one.")
        await dialog.get_by_role("combobox", name="Strength").click()
        await dialog.get_by_role("option", name="high").click()
        await dialog.locator("input[type=text]").fill("remixed")
        await dialog.locator("input[type=file]").set_input_files(
            [{"name": "mask.png", "mimeType": "image/png", "buffer": png("white")}]
        )
        await expect(dialog.locator(".upload-state")).to_contain_text("B")
        await dialog.get_by_role("button", name="Submit").click()
        await expect(dialog).to_have_count(0)
        # The message the other viewer sees last proves that the private one before it was not for them.
        await expect(other.message("remix remixed high")).to_contain_text(str(len(png("white"))))
        await expect(other.pane.get_by_text("Only you can see this")).to_have_count(0)
        await private.get_by_role("button", name="Dismiss message").click()
        await expect(private).to_have_count(0)


async def test_acting_as_another_member(tab: Tab) -> None:
    page = tab.page
    await tab.type_line("/whisper between us")
    await expect(tab.message("between us again")).to_be_visible()
    direct = page.get_by_role("navigation").get_by_role("button", name="Fourfold")
    await expect(direct.locator(".badge")).to_have_text("1")
    await direct.click()
    await expect(tab.message("between us by direct message").locator("img")).to_be_visible()
    await tab.act_as("Robin")
    await expect(tab.pane.get_by_text("between us by direct message")).to_have_count(0)
    await tab.open_channel("general")
    await expect(tab.pane.get_by_text("between us again")).to_have_count(0)
    # Robin is an admin, so the moderators' command is there; its embed has a title.
    await tab.type_line("/setup ")
    await expect(tab.message("set up").locator(".embed-title")).to_have_text("Settings")
    await tab.open_channel("after-dark")
    await tab.type_line("/gallery ")
    gallery = tab.message("Gallery").locator(".container")
    await expect(gallery.locator(".mosaic-4 img")).to_have_count(4)
    await expect(gallery.locator("img").nth(2)).to_have_attribute("alt", "blue.png")
    # A reload keeps the member.
    await page.reload()
    await expect(page.locator(".acting-name")).to_have_text("Robin")


async def test_context_menu_and_silence(tab: Tab, rest: Rest) -> None:
    page = tab.page
    await rest.post("gallery", {"content": "look at these"}, a=png("red", 640, 480), b=png("blue"))
    await tab.open_channel("gallery")
    message = tab.message("look at these")
    await expect(message.locator(".mosaic-2 img")).to_have_count(2)
    await message.click(button="right", position={"x": 300, "y": 10})
    await page.get_by_role("menuitem", name="Describe image").click()
    await expect(tab.message("2 pictures")).to_contain_text("Only you can see this")
    await tab.type_line("/sleepy ")
    failed = tab.message("The application did not respond")
    await expect(failed).to_be_visible()
    await failed.get_by_role("button", name="Put the command back").click()
    await expect(page.locator(".command-name")).to_have_text("/sleepy")
    await expect(failed).to_have_count(0)


async def test_a_role_select_offers_the_guilds_roles(tab: Tab, rest: Rest) -> None:
    select = {"type": 6, "custom_id": "roles", "placeholder": "Whose styles"}
    await rest.post("general", {"content": "choose", "components": [{"type": 1, "components": [select]}]})
    await tab.message("choose").get_by_role("combobox", name="Whose styles").click()
    options = tab.page.get_by_role("option")
    await expect(options).to_have_text(["@Fourfold", "@Moderator", "@everyone"])
    await tab.page.keyboard.press("Escape")
    await expect(options).to_have_count(0)


async def test_on_a_phone(browser: Any, stage: Playground) -> None:
    async with open_tab(await browser.new_context(**PHONE), stage.page_url) as tab:
        page = tab.page
        await page.get_by_role("button", name="Show the channel list").tap()
        await page.get_by_role("navigation").get_by_role("button", name="general").tap()
        await expect(page.get_by_role("navigation")).not_to_be_in_viewport()
        await tab.type_line(f"/imagine {EXAMPLE}, {'unbroken' * 12}")
        message = tab.message("(done)").filter(has_text="unbroken")
        buttons = message.locator(".action-row").first.locator(".button")
        await expect(buttons).to_have_count(5)
        tops = {round((await buttons.nth(index).bounding_box())["y"]) for index in range(5)}
        assert len(tops) == 1
        assert await tab.sideways_overflow() <= 0
        await expect(message.locator(".picture")).to_be_in_viewport()
        # Wide enough for a finger; words to press within a text are as high as their line.
        await page.locator(".composer-text").fill("/imagine a boat image:")
        small = """() => [...document.querySelectorAll("button, .pill")]
            .filter((node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
            .filter((node) => !node.closest("[inert], .markup, .context"))
            .filter((node) => node.getBoundingClientRect().height < 40)
            .map((node) => node.className)"""
        assert await page.evaluate(small) == []
        await message.locator(".picture").tap()
        caption = await page.locator(".lightbox-caption").bounding_box()
        assert caption["x"] >= 0
        assert caption["x"] + caption["width"] <= 390


async def test_a_restart_loses_nothing(desktop: Any, tmp_path: Path) -> None:
    async with Playground(tmp_path) as first:
        port = int(first.origin.rsplit(":", 1)[1])
        url = first.page_url
        await first.user("Mia").say("before the restart")
        tab = Tab(await desktop.new_page(), [])
        await tab.page.goto(url)
        await expect(tab.message("before the restart")).to_be_visible()
        await expect(tab.page.locator(".notices")).to_contain_text("Fourfold is starting")
        await tab.page.locator(".composer-text").fill("half typed")
    async with Playground(tmp_path, port) as second:
        assert second.page_url == url
        await expect(tab.page.locator("#app")).to_have_attribute("data-state", "open")
        await second.user("Theo").say("after the restart")
        await expect(tab.message("after the restart")).to_be_visible()
        await expect(tab.message("before the restart")).to_be_visible()
        await expect(tab.page.locator(".composer-text")).to_have_value("half typed")
        await tab.page.close()
