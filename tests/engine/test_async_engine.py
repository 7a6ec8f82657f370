"""The engine as its callers see it: real threads, a real tiny model, asyncio."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import shutil
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from engine import (
    EngineConfig,
    EngineDead,
    FinishReason,
    ImageReady,
    Loading,
    ModelUnavailable,
    OutputStream,
    Progress,
    Queued,
    RequestOutput,
    RequestRejected,
    Safety,
    Update,
)
from engine.async_engine import AsyncEngine
from engine.catalog import read_model
from engine.executor import DirectExecutor
from engine.launch import launch_engine
from engine.worker.worker import Worker
from tests.engine.bench import make_request
from tests.engine.tiny import SIDE, write_tiny_model


def config(*models: Path, **changes: Any) -> EngineConfig:
    return EngineConfig(models=tuple(map(str, models)), device="cpu", **{"preview_interval": 0.0} | changes)


@pytest.fixture
async def engine(tiny_model: Path) -> AsyncIterator[AsyncEngine]:
    async with launch_engine(config(tiny_model)) as launched:
        yield launched


async def read(stream: OutputStream) -> tuple[list[Update], RequestOutput]:
    """Everything a stream yields; the last item is its RequestOutput."""
    items = [item async for item in stream]
    assert isinstance(items[-1], RequestOutput)
    assert not any(isinstance(item, RequestOutput) for item in items[:-1])
    return items[:-1], items[-1]  # type: ignore[return-value]


async def until_running(stream: OutputStream) -> None:
    async for item in stream:
        if isinstance(item, Progress):
            return
    raise AssertionError("the request ended before it made any progress")


async def test_a_request_from_loading_to_pictures(engine: AsyncEngine, tiny_model: Path) -> None:
    stream = engine.submit(make_request(tiny_model, prompt="the cat " * 20, num_inference_steps=5))
    updates, output = await read(stream)
    kinds = [type(update) for update in updates]
    assert kinds[0] in (Loading, Queued)
    progress = [update for update in updates if isinstance(update, Progress)]
    assert [update.step for update in progress] == sorted(update.step for update in progress)
    assert (progress[-1].step, progress[-1].steps) == (10, 10)
    previews = [preview for update in progress for preview in update.previews if preview is not None]
    assert previews
    assert all(preview.dtype == np.uint8 and max(preview.shape) <= 128 for preview in previews)
    images = [update for update in updates if isinstance(update, ImageReady)]
    assert sorted(image.index for image in images) == [0, 1]
    assert images[0].pixels.shape == (SIDE, SIDE, 3)
    assert images[0].safety is Safety.UNCHECKED
    assert output.finish_reason is FinishReason.COMPLETED
    assert output.error is None
    assert output.device_seconds > 0
    assert output.unread_words
    assert set(output.unread_words) <= {"the", "cat"}


async def test_many_at_once_all_end(engine: AsyncEngine, tiny_model: Path) -> None:
    samplers = engine.models()[0].samplers
    streams = [
        engine.submit(make_request(tiny_model, str(index), sampler=sampler, share_key=str(index % 2)))
        for index, sampler in enumerate(samplers)
    ]
    ended = await asyncio.gather(*map(read, streams))
    assert all(output.finish_reason is FinishReason.COMPLETED for _, output in ended)
    assert any(isinstance(update, Queued) for updates, _ in ended for update in updates)
    stats = engine.stats()
    assert (stats.waiting, stats.running) == (0, 0)
    assert stats.resident_models == (str(tiny_model),)
    assert stats.device == "cpu"
    assert stats.seconds_per_row_step is not None


async def test_abort_takes_effect_and_others_go_on(engine: AsyncEngine, tiny_model: Path) -> None:
    long = engine.submit(make_request(tiny_model, "long", num_inference_steps=500))
    other = engine.submit(make_request(tiny_model, "other", num_inference_steps=20))
    await until_running(long)
    engine.abort("long")
    engine.abort("unknown")
    updates, output = await read(long)
    assert output.finish_reason is FinishReason.ABORTED
    assert all(update.step < 500 for update in updates if isinstance(update, Progress))
    assert (await read(other))[1].finish_reason is FinishReason.COMPLETED
    # The id is free again, and the worker holds nothing of the aborted request.
    again, ended = await read(engine.submit(make_request(tiny_model, "long", num_inference_steps=1)))
    assert ended.finish_reason is FinishReason.COMPLETED
    assert len([update for update in again if isinstance(update, ImageReady)]) == 2


async def test_refusals_queue_nothing(engine: AsyncEngine, tiny_model: Path) -> None:
    stream = engine.submit(make_request(tiny_model, "taken", num_inference_steps=100))
    for request, code in [
        (make_request("elsewhere", "new"), "model_unknown"),
        (make_request(tiny_model, "taken"), "request_id_in_use"),
        (make_request(tiny_model, "new", sampler="unheard"), "sampler_unknown"),
        (make_request(tiny_model, "new", sampler="lcm", num_inference_steps=51), "steps_out_of_range"),
        (make_request(tiny_model, "new", width=333), "size_unsupported"),
        (make_request(tiny_model, "new", seeds=()), "pictures_out_of_range"),
        (make_request(tiny_model, "new", seeds=(-1,)), "seed_out_of_range"),
        (make_request(tiny_model, "new", share_weight=0.0), "share_weight_out_of_range"),
        (make_request(tiny_model, "new", share_weight=float("nan")), "share_weight_out_of_range"),
        (make_request(tiny_model, "new", share_weight=1e-308), "share_weight_out_of_range"),
        (make_request(tiny_model, "new", share_weight=1e308), "share_weight_out_of_range"),
    ]:
        with pytest.raises(RequestRejected) as caught:
            engine.submit(request)
        assert caught.value.code == code
    engine.abort("taken")
    await read(stream)


async def test_close_ends_streams_and_the_engine_stays_closed(tiny_model: Path) -> None:
    async with launch_engine(config(tiny_model)) as engine:
        stream = engine.submit(make_request(tiny_model, num_inference_steps=500))
        await until_running(stream)
    assert (await read(stream))[1].finish_reason is FinishReason.ABORTED
    with pytest.raises(EngineDead):
        engine.submit(make_request(tiny_model))
    await engine.close()


async def test_close_while_loading(tiny_model: Path) -> None:
    async with launch_engine(config(tiny_model)) as engine:
        stream = engine.submit(make_request(tiny_model))
    assert (await read(stream))[1].finish_reason is FinishReason.ABORTED


async def test_nothing_leaks(tiny_model: Path) -> None:
    threads = set(threading.enumerate())
    made: list[Worker] = []

    def make_worker() -> Worker:
        made.append(Worker(config(tiny_model)))
        return made[0]

    models = [read_model(str(tiny_model), config())]
    engine = AsyncEngine(DirectExecutor(make_worker), models, config(tiny_model))
    for round_ in range(3):
        await read(engine.submit(make_request(tiny_model, f"done {round_}")))
        stream = engine.submit(make_request(tiny_model, f"aborted {round_}", num_inference_steps=500))
        await until_running(stream)
        engine.abort(stream.request_id)
        await read(stream)
    runner = made[0]._runner
    assert not runner._states
    assert not engine._streams
    family: Any = made[0]._residency.family(str(tiny_model))
    unet = weakref.ref(family.stages[0]._unet)
    del family
    await engine.close()
    made.clear()
    del engine, runner, stream
    gc.collect()
    assert unet() is None, "the weights outlive the engine"
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not [name for name in left if name == "engine" or name.startswith("load ")]


async def test_a_dead_engine_ends_every_stream_and_says_so(tiny_model: Path) -> None:
    class Broken(Worker):
        def execute(self, *args: Any) -> Any:
            raise ZeroDivisionError("a bug")

    settings = config(tiny_model)
    engine = AsyncEngine(
        DirectExecutor(lambda: Broken(settings)), [read_model(str(tiny_model), settings)], settings
    )
    streams = [engine.submit(make_request(tiny_model, str(index))) for index in range(3)]
    for stream in streams:
        _, output = await read(stream)
        assert output.finish_reason is FinishReason.FAILED
        assert output.error is not None
        assert output.error.code == "engine_dead"
        assert "a bug" in str(output.error)
    with pytest.raises(EngineDead):
        engine.submit(make_request(tiny_model))
    await engine.close()


async def test_a_model_that_does_not_load_fails_its_requests_and_is_tried_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    async with launch_engine(config(tiny_model, folder)) as engine:
        hidden = (folder / "tokenizer").rename(tmp_path / "tokenizer")
        _, output = await read(engine.submit(make_request(folder)))
        assert output.finish_reason is FinishReason.FAILED
        assert output.error is not None
        assert output.error.code == "model_unreadable"
        _, other = await read(engine.submit(make_request(tiny_model)))
        assert other.finish_reason is FinishReason.COMPLETED
        hidden.rename(folder / "tokenizer")
        _, again = await read(engine.submit(make_request(folder)))
        assert again.finish_reason is FinishReason.COMPLETED
        assert set(engine.stats().resident_models) == {str(tiny_model), str(folder)}


async def test_a_model_that_is_not_there_stops_the_launch(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="does not exist"):
        async with launch_engine(config(tmp_path / "nothing.safetensors")):
            pass


async def test_words_outside_the_vocabulary_are_told(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    (folder / "fourfold.json").write_text(json.dumps({"vocabulary": ["a", "red", "cat"]}))
    async with launch_engine(config(folder)) as engine:
        _, output = await read(engine.submit(make_request(folder, prompt="A red Dragon, a red cat")))
    assert output.unknown_words == ("dragon",)


async def test_a_safety_checker_runs_where_the_checkpoint_has_one(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", safety_checker=True)
    async with launch_engine(config(folder)) as engine:
        updates, _ = await read(engine.submit(make_request(folder)))
        images = [update for update in updates if isinstance(update, ImageReady)]
        # The random checker's thresholds are all 1, and no cosine is larger: everything is safe.
        assert [image.safety for image in images] == [Safety.SAFE, Safety.SAFE]


async def test_a_flagged_picture_never_leaves_the_engine(tmp_path: Path) -> None:
    """Thresholds below every cosine: the checker flags all, and neither previews nor pictures show anything."""
    folder = write_tiny_model(tmp_path / "model", safety_checker=True)
    file = folder / "safety_checker" / "model.safetensors"
    weights = load_file(file)
    weights["concept_embeds_weights"].fill_(-2.0)
    save_file(weights, file, metadata={"format": "pt"})
    async with launch_engine(config(folder)) as engine:
        updates, output = await read(engine.submit(make_request(folder)))
    images = [update for update in updates if isinstance(update, ImageReady)]
    assert [image.safety for image in images] == [Safety.FLAGGED, Safety.FLAGGED]
    assert not any(image.pixels.any() for image in images)
    shown = [
        p for update in updates if isinstance(update, Progress) for p in update.previews if p is not None
    ]
    assert shown
    assert not any(preview.any() for preview in shown)
    assert output.finish_reason is FinishReason.COMPLETED


def test_requests_and_errors_pickle(tiny_model: Path) -> None:
    request = make_request(tiny_model, init_image=Path("picture.png"))
    assert pickle.loads(pickle.dumps(request)) == request
    error = RequestRejected("code", "A sentence.", got=3)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, str(copy), copy.values) == ("code", "A sentence.", {"got": 3})
