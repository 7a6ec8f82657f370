"""The whole way on the real engine with a tiny random model: grid, single, variation, cancel, restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.database import open_database
from bot.domain import Action, Destination, Job, JobState, JobUpdate, Order
from bot.image_store import ImageStore
from bot.services import Limits, Services, make_services
from engine import EngineConfig
from engine.launch import launch_engine
from tests.bot.services.bench import ADA
from tests.engine.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@asynccontextmanager
async def process(model: Path, home: Path) -> AsyncIterator[Services]:
    image_store = ImageStore(home / "pictures")
    config = EngineConfig(models=(str(model),), device="cpu", offline=True, preview_interval=0.0)
    async with (
        open_database(home / "fourfold.db", image_store.path) as database,
        launch_engine(config) as engine,
    ):
        services = make_services(engine=engine, database=database, image_store=image_store, limits=Limits())
        await services.jobs.resume()
        try:
            yield services
        finally:
            await services.jobs.close()


async def order(services: Services, source: str, **values: object) -> Job:
    job = await services.jobs.create(ADA, Order(source=source, **values))  # type: ignore[arg-type]  # any field of Order
    await services.jobs.shown(job.id, Destination(channel_id=ADA.channel_id))
    return job


async def ended(services: Services, *jobs: Job) -> list[JobUpdate]:
    """Read updates until each of the jobs has its last one; returns all of them."""
    left, updates = {job.id for job in jobs}, []
    async with asyncio.timeout(60):
        async for update in services.jobs.updates():
            updates.append(update)
            if update.state not in (JobState.WAITING, JobState.RUNNING):
                left.discard(update.job_id)
            if not left:
                break
    return updates


def pixels(job: Job, index: int) -> np.ndarray:
    with Image.open(job.images[index].path) as image:
        return np.asarray(image).astype(int)


async def test_from_a_prompt_to_a_variation(model: Path, tmp_path: Path) -> None:
    async with process(model, tmp_path) as services:
        grid = await order(services, "1:0", action=Action.IMAGINE, prompt="a red cat --seed 7")
        updates = await ended(services, grid)
        assert any(update.preview for update in updates)
        fractions = [update.fraction for update in updates if update.state is JobState.RUNNING]
        assert fractions == sorted(fractions)
        await services.jobs.posted(grid.id, channel_id=1, message_id=2)
        grid = await services.jobs.get(grid.id)
        assert [image.seed for image in grid.images] == [7, 8, 9, 10]
        assert grid.device_seconds > 0
        single = await order(services, "2:0", action=Action.UPSCALE, parent_id=grid.id, index=1)
        variation = await order(services, "3:0", action=Action.VARY, parent_id=grid.id, index=2)
        again = await order(services, "4:0", action=Action.IMAGINE, prompt="a red cat --seed 7")
        await ended(services, single, variation, again)
        single, variation, again = [await services.jobs.get(job.id) for job in (single, variation, again)]
        assert (pixels(single, 0) == pixels(grid, 1)).all()
        assert [(pixels(variation, index) != pixels(grid, 2)).any() for index in range(4)] == [True] * 4
        # Company may change the last bit of a picture, no more.
        assert max(abs(pixels(again, index) - pixels(grid, index)).max() for index in range(4)) <= 1


async def test_cancel_and_restart(model: Path, tmp_path: Path) -> None:
    async with process(model, tmp_path) as services:
        jobs = [
            await order(services, f"{number}:0", action=Action.IMAGINE, prompt="a red cat")
            for number in range(4)
        ]
        assert (await services.jobs.cancel_newest(ADA)).id == jobs[3].id
    async with process(model, tmp_path) as services:
        await ended(services, *await services.jobs.unfinished(ADA.user_id))
        states = [(await services.jobs.get(job.id)).state for job in jobs]
        assert states == [JobState.POSTING] * 3 + [JobState.CANCELLED]
