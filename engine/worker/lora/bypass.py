"""Beside the layers: the model's own weights stay as they are, and every row gets what its LoRAs add to it.

In one batch each row has LoRAs and weights of its own, so nothing is merged. The order of operations is PEFT's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.worker.lora.layers import LoraLayer
from engine.worker.lora.products import ProductLayer
from engine.worker.lora.reading import Lora

Loras = tuple[tuple[Lora, float], ...]
"""What one row asks for, each with its weight; added in this order."""


@dataclass
class _Use:
    """One LoRA and the rows that want it."""

    lora: Lora
    rows: list[int]
    weights: list[float]
    sent: dict[Hashable, torch.Tensor] = field(default_factory=dict)
    """What of these is on the device already: hundreds of layers ask for the same, and each copy is a wait."""

    def rows_on(self, device: torch.device) -> torch.Tensor:
        """(rows wanted,)"""
        if device not in self.sent:
            self.sent[device] = torch.tensor(self.rows, device=device)
        return self.sent[device]

    def scales_like(self, sample: torch.Tensor, scales: list[float]) -> torch.Tensor:
        """(rows wanted,) in the device and type of a layer's input; most layers of a file have the same."""
        key = (sample.device, sample.dtype, *scales)
        if key not in self.sent:
            scale = torch.tensor(scales, dtype=torch.float64)
            self.sent[key] = scale.to(sample.device, sample.dtype)
        return self.sent[key]


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
    by_module: dict[str, list[tuple[LoraLayer | ProductLayer, _Use]]] = {}
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
    additions: Sequence[tuple[LoraLayer | ProductLayer, _Use]], count: int
) -> Callable[[Any, Any, Any], torch.Tensor]:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        sample, own = inputs[0], output
        for layer, use in additions:
            scales = [weight * layer.alpha / layer.rank for weight in use.weights]
            if use.rows == list(range(count)) and len(set(scales)) == 1:
                added = _answer(module, layer, sample) * scales[0]
                if isinstance(layer, LoraLayer) and layer.magnitude is not None:
                    added = _brought_to_length(module, layer, layer.magnitude, own, added, scales)
                output = output + added
                continue
            rows = use.rows_on(sample.device)
            scale = use.scales_like(sample, scales).view(-1, *[1] * (output.ndim - 1))
            added = _answer(module, layer, sample[rows]) * scale
            if isinstance(layer, LoraLayer) and layer.magnitude is not None:
                added = _brought_to_length(module, layer, layer.magnitude, own[rows], added, scales)
            output = output.index_add(0, rows, added)
        return output

    return hook


def _answer(module: Any, layer: LoraLayer | ProductLayer, sample: torch.Tensor) -> torch.Tensor:
    if isinstance(layer, ProductLayer):
        change = layer.change(module.weight.shape)
        if change.ndim == 2:
            return torch.nn.functional.linear(sample, change)
        answer: torch.Tensor = module._conv_forward(sample, change, None)
        return answer
    if layer.down.ndim == 2:
        return torch.nn.functional.linear(torch.nn.functional.linear(sample, layer.down), layer.up)
    # The module's own stride, padding and kind of padding, with other weights.
    narrow: torch.Tensor = module._conv_forward(sample, layer.down, None)
    return torch.nn.functional.conv2d(narrow, layer.up)


def _brought_to_length(
    module: Any,
    layer: LoraLayer,
    magnitude: torch.Tensor,
    own: torch.Tensor,
    added: torch.Tensor,
    scales: Sequence[float],
) -> torch.Tensor:
    """What is to be added instead, so that the layer's `own` answer and what is `added` become those of weights of the
    length `magnitude`. What other adapters add does not change it, so that their order in a batch is of no account.

    `scales`: of each row. A row's length depends on its own, so that rows with other weights can share a step.
    """
    weight = module.weight.to(added.device, added.dtype)
    change = (layer.up.flatten(1) @ layer.down.flatten(1)).reshape(weight.shape)
    ratios = {
        scale: magnitude / torch.linalg.norm((weight + scale * change).flatten(1), dim=1)
        for scale in dict.fromkeys(scales)
    }
    ratio = torch.stack([ratios[scale] for scale in scales])
    channels = (-1, *[1] * (added.ndim - 2)) if weight.ndim == 4 else (*[1] * (added.ndim - 2), -1)
    ratio = ratio.view(len(scales), *channels)
    if module.bias is not None:
        own = own - module.bias.to(added.device, added.dtype).view(1, *channels)
    return (ratio - 1) * own + ratio * added
