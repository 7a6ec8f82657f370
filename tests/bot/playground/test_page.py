"""The page in a real browser, against the stand-in and a real discord.py bot in a process of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bot.playground import Playground
from tests.bot.playground.page_fixture import (
    BROWSER_FLAGS,
    DESKTOP,
    PHONE,
    Rest,
    Tab,
    find_browser,
    open_tab,
    png,
)
from tests.bot.playground.sample import sample_bot

playwright_api = pytest.importorskip(
    "playwright.async_api", reason="Playwright's Python package is not installed"
)
expect = playwright_api.expect
expect.set_options(timeout=60_000)
BROWSER = find_browser()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH"),
]

EXAMPLE = "a red sailboat on a calm sea at sunset, watercolor"
module_fixture = pytest_asyncio.fixture(scope="module", loop_scope="module")


@module_fixture
async def browser() -> AsyncIterator[Any]:
    async with playwright_api.async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
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


# Each frame's pictures of the newest message: whether one that was shown ever was not.
WATCH_PICTURES = """() => {
    window.flashes = 0;
    window.shown = false;
    const look = () => {
        const images = [...document.querySelectorAll(".message:last-child .picture img")];
        const ready = images.length > 0 && images.every((image) => image.complete && image.naturalWidth > 0);
        if (window.shown && images.length > 0 && !ready) window.flashes += 1;
        window.shown ||= ready;
        requestAnimationFrame(look);
    };
    look();
}"""


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


async def test_user_text_never_becomes_markup(tab: Tab) -> None:
    attack = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) <script>alert(1)</script>"
    await tab.type_line(f"/imagine {attack}")
    message = tab.message("(done)")
    await expect(message.locator("strong")).to_have_text(attack)
    await expect(message.locator("img")).to_have_count(1)
    await expect(message.locator("a, script")).to_have_count(0)


async def test_a_message_that_cannot_be_drawn(desktop: Any, stage: Playground) -> None:
    services, theo = stage._services, stage.user("Theo")
    broken = await theo.say("broken", channel="gallery")
    services.state.messages[broken["id"]].embeds = [{"type": "rich", "title": "x", "timestamp": "soon"}]
    await theo.say("below the broken one", channel="gallery")
    tab = Tab(await desktop.new_page(), [])
    await tab.page.goto(stage.page_url)
    await tab.open_channel("gallery")
    await expect(tab.message("below the broken one")).to_be_visible()
    await expect(tab.message("This message cannot be shown")).to_be_visible()
    await tab.page.close()
    services.state.messages[broken["id"]].embeds = []


MARKDOWN = {
    "**bold** *it* _it_ __under__ ~~gone~~": "<strong>bold</strong> <em>it</em> <em>it</em> <u>under</u> <s>gone</s>",
    "**a *b***": "<strong>a <em>b</em></strong>",
    "***both***": "<strong><em>both</em></strong>",
    "2 * 3 * 4 and snake_case_name": "2 * 3 * 4 and snake_case_name",
    r"\*plain\* and \_this\_": "*plain* and _this_",
    "`**code**` ``a`b``": '<code class="inline-code">**code**</code> <code class="inline-code">a`b</code>',
    "# Title\ntext": '<div class="heading heading-1" role="heading" aria-level="3">Title</div>text',
    "> one\n> two\nthree": '<blockquote class="quote">one\ntwo</blockquote>three',
    "- a\n  - b\n1. c": '<div><ul class="list"><li>a<ul class="list"><li>b</li></ul></li></ul>'
    '<ol class="list"><li>c</li></ol></div>',
    "a\n```py\nx = 1\n```\nb": 'a<pre class="code-block"><code data-language="py">x = 1</code></pre>b',
    "<https://a.b/c> https://d.e/f_(g).": "<a>https://a.b/c</a> <a>https://d.e/f_(g)</a>.",
    "[text](https://a.b) [x](javascript:alert(1))": "<a>text</a> [x](javascript:alert(1))",
    "<@123456789012345678> <:fox:123456789012345678> @everyone": '<i>user</i> :fox: <span class="mention">@everyone</span>',
    "unclosed **bold and ||spoiler": "unclosed **bold and ||spoiler",
    # A pattern that goes back over what it has read would take these for ever.
    "*a" + "**a" * 40: "*a" + "<strong>a</strong>a" * 20,
    "```" + "\n" * 3900: "```" + "\n" * 3900,
    "<b>&amp;</b>": "&lt;b&gt;&amp;amp;&lt;/b&gt;",
}


async def test_markdown(tab: Tab) -> None:
    rendered = await tab.page.evaluate(
        """async (texts) => {
            const { markdown } = await import("/page/js/markdown.js");
            const user = () => Object.assign(document.createElement("i"), { textContent: "user" });
            const chat = { store: { channels: new Map() }, mention: user };
            return texts.map((text) => {
                const holder = document.createElement("div");
                holder.append(markdown(text, chat));
                for (const node of holder.querySelectorAll("a, pre, ol")) {
                    for (const name of ["href", "target", "rel", "title", "tabindex", "start"]) node.removeAttribute(name);
                }
                return holder.innerHTML;
            });
        }""",
        list(MARKDOWN),
    )
    assert dict(zip(MARKDOWN, rendered, strict=True)) == MARKDOWN


async def test_an_edit_swaps_the_picture_without_a_flash(tab: Tab, rest: Rest) -> None:
    page = tab.page
    await tab.open_channel("gallery")
    posted = await rest.post("gallery", {"content": "swap"}, first=png("black", 300, 200))
    box = tab.message("swap").locator(".picture")
    await expect(box).to_have_css("height", "200px")
    await page.evaluate(WATCH_PICTURES)
    await page.wait_for_function("window.shown")
    before = await box.bounding_box()
    for color in ("gray", "silver", "white"):
        await rest.edit(posted, {"attachments": []}, next=png(color, 300, 200))
    white = """() => {
        const canvas = document.createElement("canvas").getContext("2d");
        canvas.drawImage([...document.querySelectorAll(".pane:not([hidden]) .picture img")].at(-1), 0, 0);
        return canvas.getImageData(1, 1, 1, 1).data[0] === 255;
    }"""
    await page.wait_for_function(white)
    assert await box.bounding_box() == before
    assert await page.evaluate("window.flashes") == 0


async def test_older_messages_keep_the_readers_place(tab: Tab, stage: Playground) -> None:
    theo = stage.user("Theo")
    first = await theo.say("the very first", channel="gallery")
    for number in range(130):
        await theo.say(f"line {number}", channel="gallery")
    link = (
        f"https://discord.com/channels/{stage._services.state.guild.id}/{first['channel_id']}/{first['id']}"
    )
    await theo.say(f"see {link}", channel="gallery")
    await tab.open_channel("gallery")
    await expect(tab.message("line 129")).to_be_in_viewport()
    scroller = tab.pane.locator(".pane-scroller")
    await scroller.evaluate("(node) => { node.scrollTop = 500 }")
    mark = tab.pane.locator(".message").filter(has_text="line 9").filter(has_text="line 95")
    await expect(mark).to_be_attached()
    place = await mark.bounding_box()
    await expect(tab.pane.locator(".message", has_text="line 45")).to_be_attached()
    assert (await mark.bounding_box())["y"] == pytest.approx(place["y"], abs=1)
    await expect(tab.pane.locator(".present")).to_contain_text("Jump to present")
    await theo.say("news from below", channel="gallery")
    await expect(tab.pane.locator(".present")).to_contain_text("1 new message")
    assert (await mark.bounding_box())["y"] == pytest.approx(place["y"], abs=1)
    await tab.pane.locator(".present").click()
    await expect(tab.message("news from below")).to_be_in_viewport()
    await tab.message("see #gallery").locator("a").click()
    target = tab.message("the very first")
    await expect(target).to_be_in_viewport()
    await expect(target).to_be_focused()


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
