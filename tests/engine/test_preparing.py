"""The files that a request names are read beside the steps of others, which never wait for a disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine import FinishReason, GenerateRequest, ImageReady, Progress
from engine.async_engine import AsyncEngine
from engine.catalog import read_model
from engine.config import EngineConfig
from engine.core import EngineCore
from engine.errors import GenerationFailed
from engine.executor import DirectExecutor, Loaded, Prepared
from engine.output import Loading
from engine.worker.worker import Worker
from tests.engine.bench import Bench, make_request
from tests.engine.test_async_engine import config, read
from tests.engine.tiny import SIDE
from tests.engine.worker.lora.files import write_lora
from tests.engine.worker.models.pipelines import write_picture_and_mask


class Slow(Worker):
    """A worker whose disk answers when the test says so."""

    def __init__(self, settings: EngineConfig) -> None:
        super().__init__(settings)
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.prepared_on: list[str] = []

    def prepare(self, request: GenerateRequest) -> None:
        self.asked.set()
        assert self.answer.wait(60)
        self.prepared_on.append(threading.current_thread().name)
        super().prepare(request)


@pytest.fixture(scope="module")
def lora(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("lora") / "one.safetensors", tiny_model)


@pytest.fixture
async def slow(tiny_model: Path) -> AsyncIterator[tuple[AsyncEngine, Slow]]:
    settings = config(tiny_model)
    worker = Slow(settings)
    engine = AsyncEngine(DirectExecutor(lambda: worker), [read_model(str(tiny_model), settings)], settings)
    yield engine, worker
    worker.answer.set()
    await engine.close()


async def asked(worker: Slow) -> None:
    assert await asyncio.to_thread(worker.asked.wait, 60)


async def test_others_are_served_while_a_file_is_read(
    slow: tuple[AsyncEngine, Slow], tiny_model: Path, lora: Path
) -> None:
    engine, worker = slow
    waiting = engine.submit(make_request(tiny_model, "waiting", adapters=((lora, 0.7),), share_key="a"))
    await asked(worker)
    _, output = await read(engine.submit(make_request(tiny_model, "other", share_key="b")))
    assert output.finish_reason is FinishReason.COMPLETED
    worker.answer.set()
    updates, output = await read(waiting)
    assert output.finish_reason is FinishReason.COMPLETED
    assert output.device_seconds > 0
    assert len([update for update in updates if isinstance(update, ImageReady)]) == 2
    assert next(update for update in updates if isinstance(update, Progress)).steps == 8
    assert worker.prepared_on == ["prepare waiting"]


async def test_what_is_read_is_what_is_drawn_with(tiny_model: Path, lora: Path) -> None:
    """Through the whole engine as on the bench, in one dtype."""
    settings = config(tiny_model, dtype="float64")
    engine = AsyncEngine(
        DirectExecutor(lambda: Worker(settings)), [read_model(str(tiny_model), settings)], settings
    )
    request = make_request(tiny_model, adapters=((lora, 0.7),))
    updates, _ = await read(engine.submit(request))
    await engine.close()
    pixels = {update.index: update.pixels for update in updates if isinstance(update, ImageReady)}
    for index, expected in Bench(tiny_model).run(request)["one"].pixels.items():
        assert (pixels[index] == expected).all()


async def test_abort_while_a_file_is_read(
    slow: tuple[AsyncEngine, Slow], tiny_model: Path, lora: Path
) -> None:
    engine, worker = slow
    stream = engine.submit(make_request(tiny_model, "gone", adapters=((lora, 0.7),)))
    await asked(worker)
    engine.abort("gone")
    _, output = await read(stream)
    assert output.finish_reason is FinishReason.ABORTED
    # A namesake with another weight waits for its own and is not taken for the first.
    again = engine.submit(make_request(tiny_model, "gone", adapters=((lora, 0.2),)))
    worker.answer.set()
    _, output = await read(again)
    assert output.finish_reason is FinishReason.COMPLETED
    _, output = await read(engine.submit(make_request(tiny_model, "last")))
    assert output.finish_reason is FinishReason.COMPLETED
    assert not worker._runner._weights
    assert not worker._runner._states


async def test_a_file_that_is_gone_fails_its_request_alone(
    slow: tuple[AsyncEngine, Slow], tiny_model: Path, tmp_path: Path
) -> None:
    engine, worker = slow
    worker.answer.set()
    bad = engine.submit(make_request(tiny_model, "bad", adapters=((tmp_path / "gone.safetensors", 1.0),)))
    good = engine.submit(make_request(tiny_model, "good"))
    _, output = await read(bad)
    assert output.finish_reason is FinishReason.FAILED
    assert output.error is not None
    assert output.error.code == "adapter_missing"
    assert (await read(good))[1].finish_reason is FinishReason.COMPLETED


async def test_pictures_are_opened_beside_the_steps_too(
    slow: tuple[AsyncEngine, Slow], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_picture_and_mask(tmp_path, SIDE)
    cut = tmp_path / "cut.png"
    cut.write_bytes(files["init_image"].read_bytes()[:-200])
    opened_on: list[str] = []
    open_picture = Image.open

    def opening(path: Path) -> Image.Image:
        opened_on.append(threading.current_thread().name)
        return open_picture(path)

    monkeypatch.setattr(Image, "open", opening)
    engine, worker = slow
    whole = engine.submit(make_request(tiny_model, "whole", **files))
    broken = engine.submit(make_request(tiny_model, "broken", init_image=cut))
    await asked(worker)
    _, output = await read(engine.submit(make_request(tiny_model, "other")))
    assert output.finish_reason is FinishReason.COMPLETED
    worker.answer.set()
    assert (await read(whole))[1].finish_reason is FinishReason.COMPLETED
    _, output = await read(broken)
    assert output.error is not None
    assert output.error.code == "picture_unreadable"
    assert "Send it again" in str(output.error)
    assert sorted(opened_on) == ["prepare broken", "prepare whole", "prepare whole"]


class Inline:
    """An executor that keeps what it is asked to prepare until the test says so."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.preparing: list[GenerateRequest] = []
        self.forgotten: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.worker, name)

    def prepare(self, request: GenerateRequest, report: Any) -> None:
        self.preparing.append(request)

    def forget(self, request_id: str) -> None:
        self.forgotten.append(request_id)
        self.worker.forget(request_id)


@pytest.fixture
def core(tiny_model: Path) -> tuple[EngineCore, Inline]:
    bench = Bench(tiny_model)
    executor = Inline(bench.worker)

    def report(event: Loading | Loaded | Prepared) -> None:
        raise AssertionError("the test brings events itself")

    core = EngineCore(executor, {bench.info.name: bench.info}, bench.config, report)  # type: ignore[arg-type]
    core.scheduler.ready.add(bench.info.name)
    return core, executor


def test_a_held_request_takes_no_step_until_it_is_released(
    core: tuple[EngineCore, Inline], tiny_model: Path, lora: Path
) -> None:
    engine, executor = core
    engine.add(make_request(tiny_model, "held", adapters=((lora, 1.0),), seeds=(1,)))
    assert engine.step() == []
    (request,) = executor.preparing
    assert not engine.has_work
    assert engine.stats().seconds_per_row_step is None, "nothing was measured of nothing"
    engine.add(make_request(tiny_model, "other", seeds=(2,), num_inference_steps=2))
    for _ in range(2):
        assert {request_id for request_id, _ in engine.step()} == {"other"}
    assert len(executor.preparing) == 1, "once is enough"
    executor.worker.prepare(request)
    engine.on_prepared(Prepared(request))
    assert engine.has_work
    ended = [item for _ in range(4) for item in engine.step()]
    assert ended[-1][0] == "held"
    assert not len(engine.scheduler)


def test_what_was_read_for_nobody_is_forgotten(
    core: tuple[EngineCore, Inline], tiny_model: Path, lora: Path
) -> None:
    engine, executor = core
    engine.add(make_request(tiny_model, "gone", adapters=((lora, 1.0),)))
    engine.step()
    (request,) = executor.preparing
    engine.abort("gone")
    executor.worker.prepare(request)
    assert engine.on_prepared(Prepared(request)) == []
    assert not executor.worker._runner._weights
    failure = GenerationFailed("adapter_missing", "It is gone.")
    assert engine.on_prepared(Prepared(request, failure)) == []


def test_what_was_read_for_a_namesake_that_is_gone_releases_nobody(
    core: tuple[EngineCore, Inline], tiny_model: Path, lora: Path
) -> None:
    engine, executor = core
    engine.add(make_request(tiny_model, "name", adapters=((lora, 1.0),), seeds=(1,)))
    engine.step()
    engine.abort("name")
    engine.add(make_request(tiny_model, "name", adapters=((lora, 0.5),), seeds=(1,)))
    engine.step()
    first, second = executor.preparing
    assert engine.on_prepared(Prepared(first)) == []
    assert not engine.has_work, "its own file is still being read"
    failure = GenerationFailed("adapter_missing", "It is gone.")
    assert engine.on_prepared(Prepared(first, failure)) == [], "nor does the other's failure end it"
    executor.worker.prepare(second)
    engine.on_prepared(Prepared(second))
    assert engine.has_work
