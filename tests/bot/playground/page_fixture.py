"""What the browser tests share: where a browser is, tabs that notice every error."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from PIL import Image

from bot.playground import Playground

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


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


def find_browser() -> str | None:
    """The system's Chromium or Chrome."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Tab:
    """One open page, acting as one member."""

    def __init__(self, page: Any, errors: list[str]) -> None:
        self.page = page
        self.errors = errors

    @property
    def pane(self) -> Any:
        return self.page.locator(".pane:not([hidden])")

    def message(self, text: str) -> Any:
        """The newest message with this text."""
        return self.pane.locator(".message", has_text=text).last

    async def type_line(self, text: str) -> None:
        """Type into the message box like a person, then Enter."""
        await self.page.locator(".composer-text").click()
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    async def open_channel(self, name: str) -> None:
        await self.page.locator(".channel", has_text=name).click()

    async def act_as(self, name: str) -> None:
        await self.page.get_by_title("Act as another member").click()
        await self.page.get_by_role("menuitemradio", name=name).click()
        await self.page.locator(".acting-name", has_text=name).wait_for()

    async def begin(self, member: str, channel: str) -> None:
        """As this member in this channel, with an empty message box."""
        if await self.page.locator(".acting-name").inner_text() != member:
            await self.act_as(member)
        await self.open_channel(channel)
        if await self.page.locator(".composer-cancel").is_visible():
            await self.page.locator(".composer-cancel").click()
        await self.page.locator(".composer-text").fill("")

    async def sideways_overflow(self) -> int:
        """Pixels by which anything that scrolls is wider than its frame."""
        overflow: int = await self.page.evaluate(
            """() => Math.max(...[document.documentElement, ...document.querySelectorAll(".pane-scroller, .composer-body")]
                .map((node) => node.scrollWidth - node.clientWidth))"""
        )
        return overflow


@asynccontextmanager
async def open_tab(context: Any, url: str) -> AsyncIterator[Tab]:
    """A loaded page; leaving fails if it wrote an error to its console or threw one."""
    page = await context.new_page()
    # Generous, because a machine that is busy elsewhere is no failure of the page.
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    await page.locator("html.ready").wait_for()
    yield Tab(page, errors)
    await page.close()
    assert errors == []


def png(color: str, width: int = 64, height: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


class Rest:
    """Posts and edits messages with the bot's token, so that a test decides what a message holds and when it changes."""

    def __init__(self, playground: Playground, session: aiohttp.ClientSession) -> None:
        self._playground = playground
        self._session = session

    async def post(self, channel: str, payload: dict[str, Any], **pictures: bytes) -> dict[str, Any]:
        return await self._send(
            "POST", f"/channels/{self._playground.channel(channel).id}/messages", payload, pictures
        )

    async def edit(
        self, message: dict[str, Any], payload: dict[str, Any], **pictures: bytes
    ) -> dict[str, Any]:
        path = f"/channels/{message['channel_id']}/messages/{message['id']}"
        return await self._send("PATCH", path, payload, pictures)

    async def _send(
        self, method: str, path: str, payload: dict[str, Any], pictures: dict[str, bytes]
    ) -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("payload_json", aiohttp.JsonPayload(payload), content_type="application/json")
        for index, (name, content) in enumerate(pictures.items()):
            form.add_field(f"files[{index}]", content, filename=f"{name}.png")
        headers = {"Authorization": f"Bot {self._playground.bot_token}"}
        url = f"{self._playground.origin}/api/v10{path}"
        async with self._session.request(method, url, data=form, headers=headers) as response:
            body: dict[str, Any] = await response.json()
            assert response.status == 200, body
            return body
