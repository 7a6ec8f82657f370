"""Delivery on the real discord.py and the local stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bot.domain import StoredImage
from bot.playground import Playground, UserSession
from bot.rendering import encode_png
from engine import Safety
from tests.bot.delivery.scripted_jobs import (
    Notes,
    ScriptedJobs,
    TestClock,
)
from tests.bot.stage import bot_online


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with Playground(home=None) as playground:
        yield playground


@pytest.fixture
def user(playground) -> UserSession:
    return playground.user("Mia")


@pytest.fixture
def jobs() -> ScriptedJobs:
    return ScriptedJobs()


@pytest.fixture
def services(jobs):
    return SimpleNamespace(jobs=jobs, history=None, notes=Notes())


@pytest.fixture
def time() -> TestClock:
    return TestClock()


@pytest.fixture
async def client(playground, services, time):
    async with bot_online(playground, services, time.clock()) as client:
        yield client


@pytest.fixture
def images(tmp_path: Path) -> tuple[StoredImage, ...]:
    """Four pictures of noise, which no format makes small."""
    stored = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        path.write_bytes(encode_png(pixels, ""))
        stored.append(
            StoredImage(
                index=index, seed=5 + index, width=256, height=256, sha256="", safety=Safety.SAFE, path=path
            )
        )
    return tuple(stored)
