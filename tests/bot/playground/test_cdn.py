from __future__ import annotations

import io

from PIL import Image

from bot.playground import JumpingClock, Playground
from tests.bot.playground.raw_bot import RawBot, png


async def test_signed_addresses_expire(
    bot: RawBot, playground: Playground, general: str, clock: JumpingClock
) -> None:
    posted = (await bot.call("POST", f"/channels/{general}/messages", {}, files={"a.png": png()})).body
    url = posted["attachments"][0]["url"]
    good = await bot.fetch(url)
    assert (good.status, good.content, good.headers["Content-Type"]) == (200, png(), "image/png")
    assert (await bot.fetch(url.replace("hm=", "hm=0"))).status == 404
    assert (await bot.fetch(url.replace("ex=", "ex=f"))).status == 404
    assert (await bot.fetch(url.partition("?")[0])).status == 404
    # Within an hour the address stays the same, so that a page shows its cached picture.
    assert playground.user("Mia").messages()[-1]["attachments"][0]["url"] == url
    clock.advance(25 * 3600)
    assert (await bot.fetch(url)).status == 404
    refreshed = (await bot.call("POST", "/attachments/refresh-urls", {"attachment_urls": [url]})).body[
        "refreshed_urls"
    ][0]
    assert refreshed["original"] == url
    assert (await bot.fetch(refreshed["refreshed"])).content == png()


async def test_what_is_no_picture_is_only_downloaded(bot: RawBot, general: str) -> None:
    page = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    for name in ("a.svg", "a.html", "a.png"):
        posted = (await bot.call("POST", f"/channels/{general}/messages", {}, files={name: page})).body
        reply = await bot.fetch(posted["attachments"][0]["url"])
        assert reply.content == page
        if name != "a.png":
            assert reply.headers["Content-Type"] == "application/octet-stream"
            assert reply.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_phones_picture_is_a_jpeg(bot: RawBot, general: str) -> None:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (8, 6), "red")
    picture.save(buffer, "MPO", save_all=True, append_images=[picture])
    with Image.open(buffer) as image:
        assert image.format == "MPO"
    files = {"a.jpg": buffer.getvalue()}
    posted = (await bot.call("POST", f"/channels/{general}/messages", {}, files=files)).body
    shown = posted["attachments"][0]
    assert (shown["content_type"], shown["width"], shown["height"]) == ("image/jpeg", 8, 6)


async def test_rare_formats_are_not_decoded(bot: RawBot, general: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "EPS")
    files = {"a.png": buffer.getvalue()}
    posted = (await bot.call("POST", f"/channels/{general}/messages", {}, files=files)).body
    assert posted["attachments"][0]["content_type"] == "image/png"
    assert "width" not in posted["attachments"][0]


async def test_avatars(bot: RawBot, playground: Playground) -> None:
    for path in ("/cdn/embed/avatars/3.png", f"/cdn/avatars/{playground.user('Mia').id}.png"):
        reply = await bot.fetch(playground.origin + path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
