"""How the page draws messages: text, pictures that change, and a scroll position that never jumps by itself."""

from __future__ import annotations

from typing import Any

import pytest

from bot.playground import Playground
from tests.bot.playground.page_fixture import WATCH_PICTURES, Rest, Tab, find_browser, png

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
