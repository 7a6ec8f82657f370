"""Pictures that are no numbers: noticed at the end, made once more in float32, and then failed with advice."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import FinishReason, Hires
from engine.worker.footprint import measure
from engine.worker.worker import Worker
from tests.engine.bench import Bench, make_request
from tests.engine.tiny_transformers import write_tiny_pixart
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.lora.files import write_lora
from tests.engine.worker.test_residency import Rig

DENOISERS = ("_unet", "_transformer")


def overflow(bench: Any, module: Any = None) -> None:
    """Let the denoiser answer with one NaN in each tensor in half precision."""
    module = module or next(getattr(bench.stage, name) for name in DENOISERS if hasattr(bench.stage, name))

    def spoil(_: Any, args: Any, output: Any) -> None:
        for part in output[0]:
            if part.dtype in (torch.float16, torch.bfloat16):
                part.view(-1)[0] = torch.nan

    module.register_forward_hook(spoil)


def ask(folder: Path, family: str, request_id: str = "one", **changes: Any) -> Any:
    flow = family in ("flux", "z-image")
    values = {"sampler": "flow_euler" if flow else "euler_a", "negative_prompt": ""} | changes
    return make_request(folder, request_id, **values)


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "z-image"])
def test_half_precision_that_overflows_is_done_again_in_float32(
    tiny_models: dict[str, Path], family: str
) -> None:
    folder = tiny_models[family]
    request = ask(folder, family)
    bench = Bench(folder, dtype="bfloat16", channels_last=False)
    overflow(bench)
    result = bench.run(request)["one"]
    wanted = Bench(folder, dtype="float32", channels_last=False).run(request)["one"]
    assert result.failure is None
    for index, pixels in wanted.pixels.items():
        assert np.array_equal(result.pixels[index], pixels), "the same seeds, in float32 from the start"


def test_the_neighbours_are_unharmed(tiny_models: dict[str, Path]) -> None:
    """One picture of a grid overflows; the others of its grid and other requests come out as they would have."""
    folder = tiny_models["sd"]
    grid, other = ask(folder, "sd", seeds=(1, 2, 3)), ask(folder, "sd", "other", seeds=(7,), prompt="a dog")
    undisturbed = Bench(folder, dtype="bfloat16").run(grid, other)
    bench = Bench(folder, dtype="bfloat16")
    denoise = type(bench.stage).denoise

    def spoil(pictures: Any) -> None:
        denoise(bench.stage, pictures)
        for picture in pictures:
            if (picture.request_id, picture.index, picture.step) == ("one", 1, 2):
                picture.latents = torch.full_like(picture.latents, torch.inf)

    bench.stage.denoise = spoil
    results = bench.run(grid, other)
    in_full = Bench(folder, dtype="float32").run(ask(folder, "sd", seeds=(2,)))["one"]
    assert np.array_equal(results["one"].pixels[1], in_full.pixels[0])
    for request_id, index in (("one", 0), ("one", 2), ("other", 0)):
        assert np.array_equal(results[request_id].pixels[index], undisturbed[request_id].pixels[index])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_no_number_in_float32_either_fails_with_advice(tmp_path: Path, dtype: str) -> None:
    folder = write_tiny_xl(tmp_path / "damaged")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.bias"][0] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    failure = Bench(folder, dtype=dtype).run(ask(folder, "sdxl"))["one"].failure
    assert failure is not None
    assert failure.code == "picture_not_finite"
    assert "lower guidance scale" in str(failure)


def test_two_passes_begin_with_the_first(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["sd"]
    request = ask(folder, "sd", seeds=(5,))
    hires = Hires(width=16, height=16, strength=0.5)
    request = replace(request, params=replace(request.params, hires=hires))
    bench = Bench(folder, dtype="bfloat16", channels_last=False)
    overflow(bench)
    result = bench.run(request)["one"]
    wanted = Bench(folder, dtype="float32", channels_last=False).run(request)["one"]
    assert result.failure is None
    assert np.array_equal(result.pixels[0], wanted.pixels[0])


def test_pipelines_without_a_family_too(tmp_path: Path) -> None:
    folder = write_tiny_pixart(tmp_path / "pixart")
    request = make_request(folder, sampler="own", num_inference_steps=2, seeds=(5,))
    bench = Bench(folder, dtype="bfloat16", channels_last=False)
    overflow(bench, bench.stage._pipeline.transformer)
    result = bench.run(request)["one"]
    wanted = Bench(folder, dtype="float32", channels_last=False).run(request)["one"]
    assert result.failure is None
    assert np.array_equal(result.pixels[0], wanted.pixels[0])


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "z-image"])
def test_an_autoencoder_that_overflows_decodes_again(tiny_models: dict[str, Path], family: str) -> None:
    folder = tiny_models[family]
    request = ask(folder, family)
    bench = Bench(folder, dtype="bfloat16", channels_last=False)
    plain = bench.run(request)["one"]
    vae = bench.stage._autoencoder.vae
    seen = []

    def spoil(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        seen.append(output.dtype)
        if output.dtype is torch.bfloat16:
            output[-1, 0, 0, 0] = torch.inf
        return output

    handle = vae.decoder.register_forward_hook(spoil)
    result = bench.run(request)["one"]
    assert result.failure is None
    assert np.array_equal(result.pixels[0], plain.pixels[0]), "the one that was fine stays as it is"
    assert np.abs(result.pixels[1].astype(int) - plain.pixels[1]).max() < 16
    assert next(vae.parameters()).dtype is torch.bfloat16, "and it goes on in half precision"
    handle.remove()
    vae.decoder.register_forward_hook(lambda *_: torch.full((2, 3, 32, 32), torch.nan))
    failure = bench.run(request)["one"].failure
    assert failure is not None
    assert failure.code == "decode_not_finite"


class Engine(Rig):
    """A core on a worker that computes in bfloat16, whose models overflow in it as soon as they are loaded."""

    def __init__(self, *models: Path, **config: Any) -> None:
        super().__init__(*models, exact=False, dtype="bfloat16", channels_last=False, **config)
        self.threads: dict[str, str] = {}

    def make(self) -> Worker:
        worker = super().make()
        load, prepare = worker.load, worker.prepare

        def spoilt(model: str, report: Any) -> Any:
            info = load(model, report)
            self.threads[model] = threading.current_thread().name
            if not model.endswith("float32"):
                stage: Any = worker._residency.family(model).stages[0]
                overflow(self, stage._unet)
            return info

        def noted(request: Any) -> None:
            self.threads[f"{request.request_id} {request.model}"] = threading.current_thread().name
            prepare(request)

        worker.load, worker.prepare = spoilt, noted  # type: ignore[method-assign]
        return worker


def test_the_copy_is_loaded_and_its_files_are_read_beside_the_steps(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_models["sd"]
    lora = write_lora(tmp_path / "one.safetensors", folder)
    request = ask(folder, "sd", seeds=(5, 6), adapters=((lora, 0.7),))
    engine = Engine(folder)
    engine.add(request)
    engine.run()
    wanted = Bench(folder, dtype="float32", channels_last=False).run(request)["one"]
    assert np.array_equal(engine.pixels["one", 0], wanted.pixels[0])
    copy = f"{folder} in float32"
    assert engine.threads[copy] == f"load {copy}"
    assert engine.threads[f"one {copy}"] == "prepare one"
    assert engine.core.stats().resident_models == (str(folder),), "it goes when nobody needs it"
    assert not engine.workers[0]._residency.holds(copy)
    assert not engine.workers[0]._runner._weights


def test_the_copy_takes_its_share_of_the_memory_budget(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """The model itself has to go for it where both do not fit, and comes back for those who wait for it."""
    folder = tiny_models["sd"]
    whole = measure(folder, torch.float32).whole
    # Two rows are one picture: float32 sums come out in another order where two pictures share a step.
    engine = Engine(folder, memory_budget=whole + 1, row_budget=2)
    engine.core.scheduler.hold = 0.0
    engine.add(
        ask(folder, "sd", seeds=(5,), share_key="a"), ask(folder, "sd", "two", seeds=(6,), share_key="b")
    )
    while engine.core.request_ids:
        engine.run(1)
        residency = engine.workers[0]._residency
        held = sum(
            weight.nbytes
            for components in residency._components.values()
            for module in components.modules().values()
            for weight in module.parameters()
        )
        assert held <= whole
    for request_id, seed in (("one", 5), ("two", 6)):
        alone = Bench(folder, dtype="float32", channels_last=False)
        wanted = alone.run(ask(folder, "sd", seeds=(seed,)))["one"]
        assert np.array_equal(engine.pixels[request_id, 0], wanted.pixels[0])


def test_a_copy_that_does_not_fit_fails_its_pictures_with_the_reason(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["sd"]
    engine = Engine(folder, memory_budget=measure(folder, torch.float32).whole - 1)
    engine.add(ask(folder, "sd"))
    engine.run()
    error = engine.ended["one"].error
    assert error is not None
    assert error.code == "picture_not_finite"
    assert "memory of cpu in float32" in str(error)


def test_aborted_while_the_copy_loads(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["sd"]
    engine = Engine(folder)
    engine.add(ask(folder, "sd"))
    while len(engine.core._placement.loading) == 0 or not engine.core.scheduler.ready:
        engine.run(1)
    engine.collect(engine.core.abort("one"))
    assert engine.ended["one"].finish_reason is FinishReason.ABORTED
    while engine.core._placement.loading:
        assert engine.arrived.acquire(timeout=60)
        engine.collect(engine.core.on_load(engine.events.pop(0)))
        engine.core.step()
    assert engine.core.stats().resident_models == (str(folder),)
    assert not engine.workers[0]._residency.holds(f"{folder} in float32")
    assert not engine.workers[0]._runner._states
