"""A compiled denoiser says what the plain one says, and nobody waits for the compiler."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from engine.worker import compiled
from engine.worker.compiled import MAX_SHAPES, CompiledDenoiser


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
