"""When the device or a request fails: who notices, and who goes on."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.scheduler import Scheduler
from tests.engine.bench import Bench, diffusers_says, make_request


class Failing:
    """Stands before a module and raises what `decide` returns, before the module has done anything."""

    def __init__(self, module: Any, decide: Any) -> None:
        self.module = module
        self.decide = decide

    def __call__(self, *args: Any, **options: Any) -> Any:
        error = self.decide(*args)
        if error is not None:
            raise error
        return self.module(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


def out_of_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def rows_beyond(most: int) -> Any:
    """Out of memory for every batch of more than `most` rows."""
    return lambda sample, *_: out_of_memory() if len(sample) > most else None


@pytest.fixture
def bench(tiny_model: Path) -> Bench:
    return Bench(tiny_model)


@pytest.mark.parametrize("sampler", ["euler_a", "unipc", "dpmpp_2m_karras"])
def test_out_of_memory_halves_the_rows_and_changes_nothing(
    bench: Bench, tiny_model: Path, sampler: str
) -> None:
    request = make_request(tiny_model, sampler=sampler, seeds=(1, 2, 3, 4))
    bench.stage._unet = Failing(bench.stage._unet, rows_beyond(2))
    result = bench.run(request)["one"]
    for index, latents in diffusers_says(tiny_model, request).latents.items():
        assert (result.latents[index] - latents).abs().max() <= 1e-10
    assert bench.rows[0] == 8
    assert set(bench.rows[1:]) == {2}, "the scheduler has learnt what the device holds"


def test_out_of_memory_with_one_picture_fails_the_request_and_not_the_next(
    bench: Bench, tiny_model: Path
) -> None:
    unet = bench.stage._unet
    bench.stage._unet = Failing(unet, rows_beyond(0))
    failure = bench.run(make_request(tiny_model))["one"].failure
    assert failure is not None
    assert failure.code == "out_of_memory"
    assert "smaller" in str(failure)
    bench.stage._unet = unet
    assert len(bench.run(make_request(tiny_model))["one"].pixels) == 2


def test_out_of_memory_in_the_decoder_saves_memory_once(bench: Bench, tiny_model: Path) -> None:
    vae, tries = bench.stage._autoencoder.vae, []

    def decode(latents: torch.Tensor, **options: Any) -> Any:
        tries.append(len(latents))
        if len(tries) == 1:
            raise out_of_memory()
        return type(vae).decode(vae, latents, **options)

    vae.decode = decode
    bench.stage._autoencoder.estimate = lambda latents: latents[:, :3]  # Previews go through the decoder too.
    assert len(bench.run(make_request(tiny_model))["one"].pixels) == 2
    assert vae.use_slicing
    assert vae.use_tiling
    assert not bench.family.save_memory()


def test_an_error_in_one_request_fails_only_that_one(bench: Bench, tiny_model: Path) -> None:
    """The shared step fails as a whole and has to be taken apart to find the poisoned request."""
    poison = bench.stage._prompts.encode("poison")

    class Unet(Failing):
        def __call__(self, *args: Any, **options: Any) -> Any:
            if any(torch.equal(row, poison[0]) for row in options["encoder_hidden_states"]):
                raise RuntimeError("a kernel failed")
            return self.module(*args, **options)

    bench.stage._unet = Unet(bench.stage._unet, None)
    good, bad = make_request(tiny_model, "good"), make_request(tiny_model, "bad", prompt="poison")
    results = bench.run(good, bad)
    assert results["bad"].failure is not None
    assert results["bad"].failure.code == "generation_failed"
    assert "a kernel failed" in str(results["bad"].failure)
    for index, latents in diffusers_says(tiny_model, good).latents.items():
        assert (results["good"].latents[index] - latents).abs().max() <= 1e-10


def test_an_unreadable_picture_fails_its_request_at_once(
    bench: Bench, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing follows")
    broken = make_request(tiny_model, "broken", init_image=tmp_path / "broken.png")
    missing = make_request(tiny_model, "missing", init_image=tmp_path / "missing.png")
    results = bench.run(broken, missing, make_request(tiny_model, "fine"))
    assert results["broken"].failure is not None
    assert results["missing"].failure is not None
    assert results["fine"].failure is None
    assert len(results["fine"].pixels) == 2


def test_a_failing_preview_fails_nothing(bench: Bench, tiny_model: Path) -> None:
    def estimate(latents: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no preview today")

    bench.stage._autoencoder.estimate = estimate
    assert len(bench.run(make_request(tiny_model))["one"].pixels) == 2


def test_pictures_are_uint8_rgb(bench: Bench, tiny_model: Path) -> None:
    pixels = bench.run(make_request(tiny_model, width=48, height=24))["one"].pixels[0]
    assert pixels.shape == (24, 48, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("part", ["denoise", "finish"])
def test_the_second_try_has_the_memory_of_the_first(bench: Bench, tiny_model: Path, part: str) -> None:
    """What the failed try had allocated hangs on its traceback, and has to go before a smaller one begins."""
    allocated: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []
    work = getattr(type(bench.stage), part)

    def hungry(pictures: Any) -> Any:
        if not allocated:
            activations = torch.zeros(8)
            allocated.append(weakref.ref(activations))
            raise out_of_memory()
        alive.append(allocated[0]() is not None)
        return work(bench.stage, pictures)

    stage = bench.stage
    runner = bench.worker._runner
    setattr(stage, part, hungry)
    if part == "finish":
        # The bench records latents in a `finish` of its own, around this one.
        request = make_request(tiny_model, num_inference_steps=1)
        scheduler = Scheduler(64, lambda: 0.0, {bench.info.name})
        scheduler.add(request, bench.info)
        batch = scheduler.schedule()
        assert batch is not None
        assert len(runner.execute(batch, frozenset()).finished) == 2
    else:
        assert len(bench.run(make_request(tiny_model))["one"].pixels) == 2
    assert not any(alive)
