"""The whole bot on the local stand-in, and people in its channel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.playground import Playground, UserSession
from tests.bot.stage import IMPATIENT, ScriptedEngine, bot_at


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with Playground(home=None) as playground:
        yield playground


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def client(playground, engine, tmp_path):
    async with bot_at(playground, tmp_path, engine, clock=IMPATIENT) as client:
        yield client


@pytest.fixture
def mia(playground) -> UserSession:
    return playground.user("Mia")


@pytest.fixture
def theo(playground) -> UserSession:
    return playground.user("Theo")
