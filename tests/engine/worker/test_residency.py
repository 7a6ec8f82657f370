"""Several models in little memory: who is on the device, and whether pictures notice."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import EngineConfig, FinishReason, GenerateRequest, GenerationFailed, ImageReady, RequestOutput
from engine.catalog import read_model
from engine.core import EngineCore
from engine.errors import ModelUnavailable
from engine.executor import DirectExecutor, Prepared
from engine.worker import residency as residency_module
from engine.worker.device import memory_budget
from engine.worker.footprint import measure
from engine.worker.offload import offload
from engine.worker.worker import Worker
from tests.engine.bench import Bench, make_request
from tests.engine.ldm import write_single_file
from tests.engine.tiny import write_tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two of equal size."""
    folder = tmp_path_factory.mktemp("models")
    return write_tiny_model(folder / "a", seed=1), write_tiny_model(folder / "b", seed=2)


class Rig:
    """An engine's core on a real worker, whose loads are waited for."""

    def __init__(self, *models: Path, **config: Any) -> None:
        values: dict[str, Any] = {"device": "cpu", "dtype": "float32", "exact": True} | config
        self.config = EngineConfig(models=tuple(map(str, models)), **values)
        self.workers: list[Worker] = []
        self.events: list[Any] = []
        self.arrived = threading.Semaphore(0)
        infos = {str(model): read_model(str(model), self.config) for model in models}
        self.now = 0.0
        self.core = EngineCore(DirectExecutor(self.make), infos, self.config, self.report, lambda: self.now)
        self.pixels: dict[tuple[str, int], np.ndarray] = {}
        self.ended: dict[str, RequestOutput] = {}

    def make(self) -> Worker:
        self.workers.append(Worker(self.config))
        return self.workers[0]

    def report(self, event: Any) -> None:
        self.events.append(event)
        self.arrived.release()

    def run(self, steps: int | None = None) -> None:
        """So many steps, or until everybody has ended; no step is made while something loads or is read."""
        while self.core.request_ids and steps != 0:
            while set(self.core._placement.loading) - set(self.core._placement.residents.waiting) or any(
                waiting.held for waiting in self.core.scheduler._requests.values()
            ):
                assert self.arrived.acquire(timeout=60)
                event = self.events.pop(0)
                take = self.core.on_prepared if isinstance(event, Prepared) else self.core.on_load
                self.collect(take(event))
            had_work = self.core.has_work
            self.collect(self.core.step())
            self.now += had_work
            steps = None if steps is None else steps - had_work

    def collect(self, outputs: list[Any]) -> None:
        for request_id, item in outputs:
            if isinstance(item, ImageReady):
                self.pixels[request_id, item.index] = item.pixels
            if isinstance(item, RequestOutput):
                self.ended[request_id] = item

    def add(self, *requests: GenerateRequest) -> None:
        for request in requests:
            self.collect(self.core.add(request))


def size_of(model: Path) -> int:
    return measure(model, torch.float32).whole


@pytest.mark.parametrize("sampler", ["euler_a", "dpmpp_2m_karras", "unipc"])
def test_pictures_that_were_begun_are_the_same_after_their_model_has_come_and_gone(
    models: tuple[Path, Path], sampler: str
) -> None:
    first, second = models
    one = make_request(first, "one", sampler=sampler, num_inference_steps=6, share_key="x")
    other = make_request(second, "other", num_inference_steps=2, share_key="y")
    undisturbed = Rig(first)
    undisturbed.add(one)
    undisturbed.run()

    rig = Rig(*models, memory_budget=size_of(first) + 1)
    rig.core.scheduler.hold, rig.core.scheduler.quantum = 3.0, 1.0
    rig.add(one)
    rig.run(3)
    unet = weakref.ref(rig.workers[0]._residency.family(str(first)).stages[0]._unet)  # type: ignore[attr-defined]
    rig.add(other)  # Its share has been served less.
    rig.run()
    assert {output.finish_reason for output in rig.ended.values()} == {FinishReason.COMPLETED}
    gc.collect()
    assert unet() is None, "it has been loaded anew"
    assert rig.core.stats().resident_models == (str(first),)
    for key, pixels in undisturbed.pixels.items():
        assert np.array_equal(rig.pixels[key], pixels)


def test_what_cannot_leave_its_model_begins_anew_and_is_the_same(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    from tests.engine.tiny_transformers import write_tiny_pixart

    pixart = write_tiny_pixart(tmp_path / "pixart")
    one = make_request(pixart, "one", sampler="own", num_inference_steps=6, seeds=(1, 2), negative_prompt="")
    undisturbed = Rig(pixart)
    undisturbed.add(one)
    undisturbed.run()
    rig = Rig(pixart, models[0], memory_budget=max(size_of(pixart), size_of(models[0])) + 1)
    rig.core.scheduler.hold, rig.core.scheduler.quantum = 3.0, 1.0
    rig.add(one)
    rig.run(4)
    rig.add(make_request(models[0], "other", num_inference_steps=2, share_key="y"))
    rig.run()
    assert {output.finish_reason for output in rig.ended.values()} == {FinishReason.COMPLETED}
    assert not rig.workers[0]._runner._states
    assert rig.core.stats().resident_models == (str(pixart),), "it came back for what was left"
    for key, pixels in undisturbed.pixels.items():
        assert np.array_equal(rig.pixels[key], pixels)


def test_an_evicted_model_leaves_no_weights_behind(models: tuple[Path, Path]) -> None:
    bench = Bench(models[0])
    modules = bench.worker._residency._components[bench.info.name].modules()
    assert {"unet", "vae", "text_encoder"} <= set(modules)
    weights = [weakref.ref(weight) for module in modules.values() for weight in module.parameters()]
    bench.worker.evict(bench.info.name)
    # Whoever still refers to a module, such as a request under way, does not keep its memory.
    assert all(weight.is_meta for module in modules.values() for weight in module.parameters())
    assert not any(weight() is not None and not weight().is_meta for weight in weights)  # type: ignore[union-attr]


def test_a_model_that_fits_in_no_way_says_what_it_needs_and_what_there_is(models: tuple[Path, Path]) -> None:
    rig = Rig(*models, memory_budget=1000)
    rig.add(make_request(models[0], "one"))
    rig.run()
    error = rig.ended["one"].error
    assert error is not None
    assert error.code == "model_too_large"
    assert f"{size_of(models[0]) / 1e6:.2f} MB" in str(error)
    assert "FOURFOLD_MEMORY_BUDGET" in str(error)
    assert "machine's own memory" in str(error)
    assert error.values["needed"] == size_of(models[0])


def test_sizes_are_those_of_the_dtype_and_of_what_is_loaded(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    half, single, double = (
        measure(models[0], dtype).whole for dtype in (torch.float16, torch.float32, torch.float64)
    )
    bench = Bench(models[0])
    components = bench.worker._residency._components[bench.info.name]
    loaded = sum(p.nbytes for module in components.modules().values() for p in module.parameters())
    assert loaded <= double <= 1.05 * loaded, "buffers such as position ids are saved too"
    assert half < single < double
    file = write_single_file(models[0], tmp_path / "one.safetensors")
    assert measure(file, torch.float32).whole == pytest.approx(single, rel=0.05)
    assert measure(models[0], torch.float32).offloaded < single


def test_a_share_of_the_machines_memory_unless_it_is_said() -> None:
    assert memory_budget(EngineConfig(memory_budget=7), CPU) == 7
    assert memory_budget(EngineConfig(), CPU) > 2**28


def test_offload_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ModelUnavailable, match="auto, always, never"):
        Worker(EngineConfig(device="cpu", offload="sometimes"))


def test_offload_on_a_device_without_memory_of_its_own_is_said_to_be_without_effect(
    caplog: pytest.LogCaptureFixture, models: tuple[Path, Path]
) -> None:
    with caplog.at_level("WARNING"):
        bench = Bench(models[0], offload="always")
    assert "without effect" in caplog.text
    assert not bench.worker._residency.offload(bench.info.name)
    assert len(bench.run(make_request(models[0]))["one"].pixels) == 2


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processor plays the graphics card: diffusers' hooks move weights from the processor to the processor."""
    monkeypatch.setattr(residency_module, "can_offload", lambda device: True)
    hooked: list[str] = []

    def spy(parts: Any, device: torch.device) -> None:
        hooked.extend(name for name, part in parts.items() if isinstance(part, torch.nn.Module))
        offload(parts, device)

    monkeypatch.setattr(residency_module, "offload", spy)
    monkeypatch.setattr("engine.worker.loader.offload", spy)
    return hooked


def hooks(module: torch.nn.Module) -> int:
    return sum(hasattr(each, "_diffusers_hook") for each in module.modules())


@pytest.mark.parametrize("setting", ["auto", "always"])
def test_offloaded_models_make_the_same_pictures(
    models: tuple[Path, Path], card: list[str], setting: str
) -> None:
    request = make_request(models[0])
    expected = Bench(models[0], offload="never").run(request)["one"]
    assert not card
    budget = size_of(models[0]) * 2 - 1 if setting == "auto" else None
    bench = Bench(models[0], offload=setting, memory_budget=budget)
    assert "unet" in card
    modules = bench.worker._residency._components[bench.info.name].modules()
    assert hooks(modules["unet"]) > 2
    assert not hooks(modules["vae"])
    result = bench.run(request)["one"]
    for index, latents in expected.latents.items():
        assert torch.equal(result.latents[index], latents)


def test_a_model_whose_largest_part_does_not_fit_is_refused(
    models: tuple[Path, Path], card: list[str]
) -> None:
    least = measure(models[0], torch.float32).offloaded
    with pytest.raises(GenerationFailed, match="at least, with offload"):
        Worker(
            EngineConfig(models=(str(models[0]),), device="cpu", dtype="float32", memory_budget=least - 1)
        ).fetch(str(models[0]), lambda _: None)


def test_offload_during_a_picture_changes_nothing(models: tuple[Path, Path], card: list[str]) -> None:
    request = make_request(models[0], sampler="dpmpp_2m_karras")
    expected = Bench(models[0]).run(request)["one"]
    bench = Bench(models[0])
    assert bench.worker._residency.offload(bench.info.name)
    assert not bench.worker._residency.offload(bench.info.name)
    result = bench.run(request)["one"]
    for index, latents in expected.latents.items():
        assert torch.equal(result.latents[index], latents)


def test_a_compiled_model_is_not_offloaded(models: tuple[Path, Path], card: list[str]) -> None:
    """What was compiled expects its weights on the device."""
    bench = Bench(models[0], dtype="float32", compile=True)
    assert bench.stage._compiled is not None
    assert not bench.worker._residency.offload(bench.info.name)
    modules = bench.worker._residency._components[bench.info.name].modules()
    assert not card
    assert not hooks(modules["unet"])


@pytest.mark.parametrize("exact", [True, False])
def test_exact_mode_rounds_no_input_of_a_convolution(monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    Worker(EngineConfig(device="cpu", exact=exact))
    assert torch.backends.cudnn.allow_tf32 is not exact
