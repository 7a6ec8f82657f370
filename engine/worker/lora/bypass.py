"""Beside the layers: the model's own weights stay as they are, and every row gets what its LoRAs add to it.

In one batch each row has LoRAs and weights of its own, so nothing is merged. The order of operations is PEFT's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from engine.worker.lora.reading import Lora, LoraLayer

Loras = tuple[tuple[Lora, float], ...]
"""What one row asks for, each with its weight; added in this order."""


@dataclass
class _Use:
    """One LoRA and the rows that want it."""

    lora: Lora
    rows: list[int]
    weights: list[float]


@contextmanager
def applied(model: Any, component: str, rows: Sequence[Loras]) -> Iterator[None]:
    """Within, the model computes batches of len(rows) rows, the batch being every layer's first dimension."""
    uses: dict[int, _Use] = {}
    for row, loras in enumerate(rows):
        for lora, weight in loras:
            if component in lora.layers:
                use = uses.setdefault(id(lora), _Use(lora, [], []))
                use.rows.append(row)
                use.weights.append(weight)
    by_module: dict[str, list[tuple[LoraLayer, _Use]]] = {}
    for use in uses.values():
        for name, layer in use.lora.layers[component].items():
            by_module.setdefault(name, []).append((layer, use))
    hooks = []
    try:
        for name, additions in by_module.items():
            hook = _adding(additions, len(rows))
            hooks.append(model.get_submodule(name).register_forward_hook(hook))
        yield
    finally:
        for handle in hooks:
            handle.remove()


def _adding(
    additions: Sequence[tuple[LoraLayer, _Use]], count: int
) -> Callable[[Any, Any, Any], torch.Tensor]:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        sample = inputs[0]
        for layer, use in additions:
            if use.rows == list(range(count)) and len(set(use.weights)) == 1:
                output = output + _low_rank(module, layer, sample) * (
                    use.weights[0] * layer.alpha / layer.rank
                )
                continue
            rows = torch.tensor(use.rows, device=sample.device)
            scale = torch.tensor(
                [weight * layer.alpha / layer.rank for weight in use.weights], dtype=torch.float64
            )
            scale = scale.to(sample.device, sample.dtype).view(-1, *[1] * (output.ndim - 1))
            output = output.index_add(0, rows, _low_rank(module, layer, sample[rows]) * scale)
        return output

    return hook


def _low_rank(module: Any, layer: LoraLayer, sample: torch.Tensor) -> torch.Tensor:
    if layer.down.ndim == 2:
        return torch.nn.functional.linear(torch.nn.functional.linear(sample, layer.down), layer.up)
    # The module's own stride, padding and kind of padding, with other weights.
    narrow: torch.Tensor = module._conv_forward(sample, layer.down, None)
    return torch.nn.functional.conv2d(narrow, layer.up)
