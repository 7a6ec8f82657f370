"""LoRAs and embeddings whose files say what cannot be: named when they are read, and their request fails alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.bench import Bench, make_request
from tests.engine.tiny_xl import write_tiny_xl
from tests.engine.worker.lora.files import write_lora

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def bench(tiny_model: Path) -> Bench:
    return Bench(tiny_model)


def fails(bench: Bench, model: Path, code: str, **files: Any) -> str:
    bad = make_request(model, "bad", seeds=(1,), num_inference_steps=1, **files)
    results = bench.run(bad, make_request(model, "good", seeds=(1,), num_inference_steps=1))
    failure = results["bad"].failure
    assert failure is not None
    assert failure.code == code, failure
    assert len(results["good"].pixels) == 1
    return str(failure)


@pytest.mark.parametrize(
    "configuration",
    [
        {"unet.lora_alpha": "abc"},
        {"unet.lora_alpha": [1]},
        {"unet.lora_alpha": float("nan")},
        {"unet.lora_alpha": 10**400},
        {"unet.lora_alpha": 2, "unet.alpha_pattern": [1]},
        {"unet.lora_alpha": 2, "unet.alpha_pattern": {"to_q": "x"}},
    ],
)
def test_an_alpha_that_is_no_number(
    bench: Bench, tiny_model: Path, tmp_path: Path, configuration: dict[str, Any]
) -> None:
    path = write_lora(tmp_path / "style.safetensors", tiny_model)
    save_file(load_file(path), path, metadata={"lora_adapter_metadata": json.dumps(configuration)})
    sentence = fails(bench, tiny_model, "adapter_unreadable", adapters=((path, 1.0),))
    assert "style.safetensors" in sentence
    assert "alpha" in sentence


def last_as(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, (last := list(tensors)[-1]): change(tensors[last])}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float8_e5m2])
def test_a_lora_of_no_numbers(
    bench: Bench, tiny_model: Path, tmp_path: Path, number: float, dtype: torch.dtype
) -> None:
    path = write_lora(tmp_path / "style.safetensors", tiny_model)
    spoil = last_as(lambda tensor: (tensor * number).to(dtype))
    save_file(spoil(load_file(path)), path)
    assert "no number" in fails(bench, tiny_model, "adapter_unreadable", adapters=((path, 1.0),))


@pytest.mark.parametrize(
    ("vectors", "code"),
    [
        (torch.full((2, 16), float("nan")), "embedding_unreadable"),
        (torch.tensor([[float("inf")] * 16]), "embedding_unreadable"),
        (torch.tensor(1.0), "embedding_unknown"),
        (torch.zeros(0, 16), "embedding_unknown"),
    ],
)
def test_an_embedding_of_nothing(
    bench: Bench, tiny_model: Path, tmp_path: Path, vectors: torch.Tensor, code: str
) -> None:
    path = tmp_path / "toy.safetensors"
    save_file({"emb_params": vectors}, path)
    sentence = fails(bench, tiny_model, code, prompt="a toy", embeddings=(("toy", path),))
    assert "toy.safetensors" in sentence


def test_a_weight_of_nothing_hides_no_mistake(bench: Bench, tiny_model: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.safetensors"
    fails(bench, tiny_model, "adapter_missing", adapters=((gone, 0.0),))
    other = write_lora(tmp_path / "xl.safetensors", write_tiny_xl(tmp_path / "xl"))
    fails(bench, tiny_model, "adapter_mismatch", adapters=((other, 0.0),))


def test_a_single_try_is_not_called_two(bench: Bench, tiny_model: Path, tmp_path: Path) -> None:
    """Weights that overflow in float32 too, on an engine that computes in it."""
    path = write_lora(tmp_path / "style.safetensors", tiny_model)
    save_file({name: tensor * 1e37 for name, tensor in load_file(path).items()}, path)
    alone = Bench(tiny_model, dtype="float32")
    assert "half precision" not in fails(alone, tiny_model, "picture_not_finite", adapters=((path, 1.0),))
