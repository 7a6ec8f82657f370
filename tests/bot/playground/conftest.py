from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.playground import JumpingClock, Playground
from tests.bot.playground.raw_bot import RawBot


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
