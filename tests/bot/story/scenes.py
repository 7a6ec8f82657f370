"""What people do again and again, and how they know what they see."""

from __future__ import annotations

from bot.playground import UserSession
from tests.bot.stage import ScriptedEngine

PROMPT = "a red sailboat on a calm sea"


def is_grid(message) -> bool:
    return bool(message["attachments"]) and message["attachments"][0]["filename"].startswith("grid.")


def is_single(message) -> bool:
    return bool(message["attachments"]) and message["attachments"][0]["filename"].startswith("picture.")


def said(message, text: str) -> bool:
    return text in message["content"]


async def private_answer(user: UserSession, text: str, channel: str = "general"):
    return await user.wait_for(lambda m: m["flags"] & 64 and said(m, text), channel=channel)


async def grid_of(user: UserSession, engine: ScriptedEngine, prompt: str = PROMPT):
    """Imagine it and let the engine finish: the posted grid."""
    before = {message["id"] for message in user.messages()}
    number = len(engine.requests) + 1
    await user.slash("imagine", prompt=prompt)
    engine.finish(await engine.request(number))
    return await user.wait_for(lambda m: is_grid(m) and m["id"] not in before)


async def wait_done(user: UserSession) -> None:
    """A posted result is recorded once its progress message is gone."""
    for message in user.messages():
        if said(message, "(Waiting to start"):
            await user.wait_gone(message)


async def file_of(message) -> bytes:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.get(message["attachments"][0]["url"]) as response:
        return await response.read()
