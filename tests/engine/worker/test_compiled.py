"""A compiled denoiser says what the plain one says, and nobody waits for the compiler."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.worker import compiled
from engine.worker.compiled import MAX_SHAPES, CompiledDenoiser, stop_compiling
from tests.engine.bench import Bench, make_request


class Denoiser(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, sample: torch.Tensor, *, scale: float = 1.0) -> tuple[torch.Tensor]:
        return (torch.relu(self.layer(sample)) * scale,)


@pytest.fixture
def module() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser().eval()


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole way of torch.compile without the C++ compiler, which a machine that runs the tests may lack.
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")


def wait(denoiser: CompiledDenoiser) -> None:
    assert denoiser._compiling is not None
    denoiser._compiling.join()


@torch.inference_mode()
def test_compiled_once_a_shape_has_been_seen(module: Denoiser) -> None:
    denoiser = CompiledDenoiser(module)
    calls: list[int] = []
    module.register_forward_hook(lambda _module, inputs, _output: calls.append(len(inputs[0])))
    for rows in (3, 5, 2):
        sample = torch.randn(rows, 4)
        assert torch.allclose(denoiser(sample, scale=2.0)[0], 2 * torch.relu(module.layer(sample)), atol=1e-6)
        wait(denoiser)
    assert calls == [3], "other numbers of rows run on what was compiled for the first"
    denoiser(torch.randn(3, 4), scale=3.0)
    assert calls == [3, 3], "another option is another shape"


@torch.inference_mode()
def test_weights_are_shared_and_hooks_are_not(module: Denoiser) -> None:
    denoiser = CompiledDenoiser(module)
    sample = torch.randn(2, 4)
    denoiser(sample)
    wait(denoiser)
    with torch.no_grad():
        module.layer.weight.zero_()
        module.layer.bias.fill_(7.0)
    module.layer.register_forward_hook(lambda *_: torch.zeros(2, 4))
    assert torch.equal(denoiser(sample)[0], torch.full((2, 4), 7.0))


@torch.inference_mode()
def test_a_compiler_that_fails_costs_no_picture(module: Denoiser, caplog: Any) -> None:
    denoiser = CompiledDenoiser(module)

    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("no compiler here")

    denoiser._twin = broken
    sample = torch.randn(2, 4)
    with caplog.at_level(logging.WARNING):
        expected = denoiser(sample)[0]
        wait(denoiser)
    assert torch.equal(denoiser(sample)[0], expected)
    assert "no compiler here" in caplog.text


@torch.inference_mode()
def test_only_so_many_shapes(module: Denoiser) -> None:
    denoiser = CompiledDenoiser(module)
    for number in range(MAX_SHAPES + 2):
        denoiser(torch.randn(2, 4), scale=float(number))
        wait(denoiser)
    assert len(denoiser._ready) == MAX_SHAPES


class Endless:
    """A compilation that goes on for as long as it may."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def __call__(self, *_args: Any, **_options: Any) -> None:
        self.started.set()
        while True:
            threading.get_ident()


@torch.inference_mode()
def test_what_compiles_is_stopped_and_others_compile_after_it(
    module: Denoiser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endless, sample = Endless(), torch.randn(2, 4)
    with monkeypatch.context() as patched:
        patched.setattr(compiled, "BACKEND", endless)
        denoiser = CompiledDenoiser(module)
    denoiser(sample)
    assert endless.started.wait(60), "torch is amid compiling"
    stop_compiling([module], patience=60)
    wait(denoiser)
    assert "compiling failed" not in caplog.text, "nobody is told of what nobody needs"
    assert not denoiser._ready
    assert torch.equal(denoiser(sample)[0], module(sample)[0])
    other = CompiledDenoiser(Denoiser().eval())
    other(sample)
    wait(other)
    assert other._ready


@pytest.mark.skipif(shutil.which("sleep") is None, reason="needs a program that takes its time")
@torch.inference_mode()
def test_the_compilers_that_it_waits_for_are_ended(module: Denoiser, tmp_path: Path) -> None:
    slow = tmp_path / "g++"
    slow.symlink_to(str(shutil.which("sleep")))
    denoiser = CompiledDenoiser(module)
    running: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def compiling(*_args: Any, **_options: Any) -> None:
        running.append(subprocess.Popen([slow, "600"]))
        started.set()
        running[0].wait()

    denoiser._twin = compiling
    denoiser(torch.randn(2, 4))
    assert started.wait(60)
    stop_compiling([module], patience=60)
    assert denoiser._compiling is not None
    assert not denoiser._compiling.is_alive()
    assert running[0].poll() is not None


@pytest.mark.parametrize("leaves", ["evict", "close"])
def test_nothing_compiles_for_a_model_that_has_left(tiny_model: Path, leaves: str) -> None:
    bench = Bench(tiny_model, dtype="float32", compile=True)
    endless = bench.stage._compiled._twin = Endless()
    bench.run(make_request(tiny_model, seeds=(1,), num_inference_steps=1))
    assert endless.started.wait(60)
    if leaves == "evict":
        bench.worker.evict(bench.info.name)
    else:
        bench.worker.close()
    thread = bench.stage._compiled._compiling
    thread.join(60)
    assert not thread.is_alive()
