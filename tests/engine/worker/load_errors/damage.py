"""What happens to a model's files, and what loading says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import EngineConfig, EngineError
from engine.worker.residency import Residency

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def try_to_load(model: Path, *, between: Callable[[], Any] = lambda: None, **config: Any) -> EngineError:
    """What fetching or loading says; `between` happens after the fetch."""
    residency = Residency(EngineConfig(models=(str(model),), device="cpu", dtype="float32", **config))

    def both() -> None:
        residency.fetch(str(model), lambda _: None)
        between()
        residency.load(str(model), lambda _: None)

    with pytest.raises(EngineError) as caught:
        both()
    assert not residency.holds(str(model))
    return caught.value


def change(file: Path, how: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    tensors = how(load_file(file))
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )


def without(word: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if word not in name}


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
