"""Memory that runs out at every stage: what is tried, who fails, and that the others' pictures are what they would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import GenerateRequest
from engine.worker import model_runner
from engine.worker import residency as residency_module
from engine.worker.second_try import not_finite_among
from tests.engine.bench import Bench, Result, make_request
from tests.engine.tiny import write_tiny_model
from tests.engine.tiny_transformers import write_tiny_pixart
from tests.engine.worker.lora.files import write_lora
from tests.engine.worker.test_model_runner import Failing, out_of_memory, rows_beyond
from tests.engine.worker.test_residency import Rig, hooks, size_of

STAGES = ("begin", "denoise", "finish", "preview")


class Scarce:
    """Raises out-of-memory errors in one stage: for the first `times` of its calls that concern `victim`."""

    def __init__(self, bench: Bench, stage: str, times: float, victim: str | None = None) -> None:
        self.left = times
        self.victim = victim
        self.raised = 0
        target = bench.stage
        work: Callable[..., Any] = getattr(target, stage)

        def scarce(subject: Any) -> Any:
            concerned = [subject.request] if stage == "begin" else subject
            ids = {each.request_id for each in concerned}
            if self.left > 0 and (self.victim is None or self.victim in ids):
                self.left -= 1
                self.raised += 1
                raise out_of_memory()
            return work(subject)

        if stage == "finish":
            # The bench puts a `finish` of its own before that of the class.
            cls = type(target)
            bound = type("Scarce", (cls,), {"finish": lambda self, pictures: scarce(pictures)})
            target.__class__ = bound
            work = lambda pictures: cls.finish(target, pictures)  # noqa: E731
        else:
            setattr(target, stage, scarce)


def requests(model: Path) -> list[GenerateRequest]:
    return [
        make_request(model, "one", sampler="euler_a", seeds=(1, 2)),
        make_request(model, "two", sampler="dpmpp_2m_karras", num_inference_steps=5, seeds=(3,)),
        make_request(model, "three", sampler="unipc", guidance_scale=1.0, seeds=(4, 5)),
    ]


@pytest.fixture(scope="module")
def expected(tiny_model: Path) -> dict[str, Result]:
    return Bench(tiny_model).run(*requests(tiny_model))


def same(result: Result, expected: Result) -> None:
    assert result.failure is None
    assert set(result.pixels) == set(expected.pixels)
    for index, latents in expected.latents.items():
        assert (result.latents[index] - latents).abs().max() <= 1e-10


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("times", [1, 2])
def test_memory_that_runs_out_for_a_moment_costs_nobody_a_picture(
    tiny_model: Path, expected: dict[str, Result], stage: str, times: int
) -> None:
    bench = Bench(tiny_model)
    scarce = Scarce(bench, stage, times)
    results = bench.run(*requests(tiny_model))
    assert scarce.raised == times
    for request_id, result in results.items():
        same(result, expected[request_id])


@pytest.mark.parametrize("stage", STAGES)
def test_only_the_one_that_cannot_be_helped_fails(
    tiny_model: Path, expected: dict[str, Result], stage: str
) -> None:
    bench = Bench(tiny_model)
    Scarce(bench, stage, float("inf"), victim="two")
    results = bench.run(*requests(tiny_model), joins={"three": 2})
    for request_id in ("one", "three"):
        same(results[request_id], expected[request_id])
    if stage == "preview":
        same(results["two"], expected["two"])  # A preview is a courtesy.
        return
    failure = results["two"].failure
    assert failure is not None
    assert failure.code == "out_of_memory"
    assert "smaller" in str(failure)


class Looks:
    """Looking for what is no number runs out of memory whenever `fails` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: Callable[[set[str], int], bool]) -> None:
        self.raised = 0

        def look(pictures: Any) -> Any:
            if pictures and fails({picture.request_id for picture in pictures}, self.raised):
                self.raised += 1
                raise out_of_memory()
            return not_finite_among(pictures)

        monkeypatch.setattr(model_runner, "not_finite_among", look)


@pytest.mark.parametrize("times", [1, 2])
def test_memory_that_runs_out_where_pictures_are_looked_at_costs_nobody_one(
    tiny_model: Path, expected: dict[str, Result], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    looks = Looks(monkeypatch, lambda _, raised: raised < times)
    for request_id, result in Bench(tiny_model).run(*requests(tiny_model)).items():
        same(result, expected[request_id])
    assert looks.raised == times


def test_only_the_one_that_cannot_be_looked_at_fails(
    tiny_model: Path, expected: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    Looks(monkeypatch, lambda ids, _: "one" in ids)
    results = Bench(tiny_model).run(*requests(tiny_model))
    same(results["two"], expected["two"])
    same(results["three"], expected["three"])
    failure = results["one"].failure
    assert failure is not None
    assert failure.code == "out_of_memory"


def test_a_thumbnail_of_a_finished_picture_that_fails_is_left_out(
    tiny_model: Path, expected: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(model_runner, "thumbnails", fail)
    for request_id, result in Bench(tiny_model).run(*requests(tiny_model)).items():
        same(result, expected[request_id])


@pytest.mark.parametrize("stage", ["begin", "denoise", "finish"])
def test_where_nobody_can_be_helped_all_fail_and_the_queue_goes_on(
    tiny_model: Path, expected: dict[str, Result], stage: str
) -> None:
    bench = Bench(tiny_model)
    scarce = Scarce(bench, stage, float("inf"))
    results = bench.run(*requests(tiny_model))
    codes = [result.failure.code for result in results.values() if result.failure is not None]
    assert codes == ["out_of_memory"] * 3
    scarce.left = 0
    for request_id, result in bench.run(*requests(tiny_model)).items():
        same(result, expected[request_id])


def test_what_nobody_needs_goes_before_a_row(tiny_model: Path, tmp_path: Path) -> None:
    """An idle model, and a file of an earlier request: with them gone, the whole step has room."""
    other = write_tiny_model(tmp_path / "other", seed=2)
    lora = write_lora(tmp_path / "one.safetensors", tiny_model)
    rig = Rig(tiny_model, other, exact=False, row_buckets=False)
    rig.add(make_request(tiny_model, "first", adapters=((lora, 1.0),)), make_request(other, "other"))
    rig.run()
    worker = rig.workers[0]
    assert worker.named_bytes
    assert rig.core.stats().resident_models == tuple(sorted(map(str, (tiny_model, other))))
    stage: Any = worker._residency.family(str(tiny_model)).stages[0]
    unet, rows = stage._unet, []

    def full(sample: torch.Tensor, *_: Any) -> Exception | None:
        rows.append(len(sample))
        return out_of_memory() if worker._residency.holds(str(other)) or worker.named_bytes else None

    stage._unet = Failing(unet, full)
    request = make_request(tiny_model, "second", seeds=(1, 2, 3))
    rig.add(request)
    rig.run()
    assert rig.ended["second"].error is None
    assert rows == [6, 6, 6, 6, 6], "once more in full, and never fewer"
    assert rig.core.stats().resident_models == (str(tiny_model),)
    assert not worker.named_bytes
    assert rig.core._placement.residents.used - rig.core._placement.residents.named == size_of(tiny_model)
    rig.add(make_request(other, "again"))
    rig.run()
    assert rig.ended["again"].error is None, "it is loaded when somebody asks for it"


def test_what_somebody_asks_for_stays(tiny_model: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=2)
    rig = Rig(tiny_model, other)
    rig.add(make_request(other, "first"), make_request(tiny_model, "warm"))
    rig.run()
    stage: Any = rig.workers[0]._residency.family(str(tiny_model)).stages[0]
    stage._unet = Failing(stage._unet, rows_beyond(2))
    rig.add(make_request(tiny_model, "one"), make_request(other, "two"))
    rig.run()
    assert all(output.error is None for output in rig.ended.values())
    assert len(rig.core.stats().resident_models) == 2


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency_module, "can_offload", lambda device: True)


@pytest.mark.parametrize("stage", ["begin", "denoise", "finish"])
@pytest.mark.usefixtures("card")
def test_the_last_rung_takes_the_weights_off_the_device(
    tiny_model: Path, expected: dict[str, Result], stage: str
) -> None:
    """Memory suffices as soon as the weights have gone, and then for good."""
    bench = Bench(tiny_model)
    unet = bench.worker._residency._components[bench.info.name].modules()["unet"]
    owner: Any = bench.stage
    name = stage
    if stage == "finish":
        owner, name = owner._autoencoder, "decode"
    work = getattr(owner, name)
    tries: list[bool] = []

    def scarce(*args: Any, **options: Any) -> Any:
        tries.append(bool(hooks(unet)))
        if not tries[-1]:
            raise out_of_memory()
        return work(*args, **options)

    setattr(owner, name, scarce)
    bench.stage.preview = lambda pictures: [None] * len(pictures)  # type: ignore[method-assign]
    results = bench.run(*requests(tiny_model))
    for request_id, result in results.items():
        same(result, expected[request_id])
    first = tries.index(True)
    assert 0 < first <= 8
    assert all(tries[first:])


@pytest.mark.usefixtures("card")
def test_offload_that_is_forbidden_is_not_tried(tiny_model: Path) -> None:
    bench = Bench(tiny_model, offload="never")
    Scarce(bench, "denoise", float("inf"))
    results = bench.run(*requests(tiny_model))
    assert all(result.failure is not None for result in results.values())
    assert not hooks(bench.worker._residency._components[bench.info.name].modules()["unet"])


def test_errors_of_the_processors_own_allocator_are_known(
    tiny_model: Path, expected: dict[str, Result]
) -> None:
    bench = Bench(tiny_model)
    work = bench.stage.denoise
    raised: list[Exception] = []

    def scarce(pictures: Any) -> None:
        if len(raised) < 3:
            raised.append(
                [
                    MemoryError(),
                    RuntimeError(
                        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
                    ),
                    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
                ][len(raised)]
            )
            raise raised[-1]
        work(pictures)

    bench.stage.denoise = scarce  # type: ignore[method-assign]
    for request_id, result in bench.run(*requests(tiny_model)).items():
        same(result, expected[request_id])
    assert torch.is_tensor(expected["one"].latents[0])


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_pipeline_of_diffusers_own_begins_anew(tmp_path: Path, part: str) -> None:
    """Its call has ended with the error; the picture is the same all the same."""
    model = write_tiny_pixart(tmp_path / "model")
    request = make_request(model, sampler="own", negative_prompt="")
    expected = Bench(model).run(request)["one"]
    bench = Bench(model)
    module = bench.worker._residency._components[bench.info.name].modules()[part]
    owner, name = (module, "decode") if part == "vae" else (module, "forward")
    work, calls = getattr(owner, name), []

    def scarce(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise out_of_memory()
        return work(*args, **options)

    setattr(owner, name, scarce)
    bench.stage.preview = lambda pictures: [None] * len(pictures)  # type: ignore[method-assign]
    result = bench.run(request)["one"]
    assert result.failure is None
    assert len(calls) > 2
    for index, pixels in expected.pixels.items():
        assert np.array_equal(result.pixels[index], pixels)
