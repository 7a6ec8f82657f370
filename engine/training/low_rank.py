"""A low-rank adapter (Hu et al. 2021) around a trained network: what it learns can be shipped beside it in a small file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

PREFIX = "unet"


class LowRank(nn.Module):
    """A frozen linear or convolutional layer and what is added to its answer, nothing at first."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        down: nn.Linear | nn.Conv2d
        up: nn.Linear | nn.Conv2d
        if isinstance(layer, nn.Linear):
            down = nn.Linear(layer.in_features, rank, bias=False)
            up = nn.Linear(rank, layer.out_features, bias=False)
        else:
            assert not isinstance(layer.padding, str)
            size, stride, padding = (_two(each) for each in (layer.kernel_size, layer.stride, layer.padding))
            down = nn.Conv2d(layer.in_channels, rank, size, stride=stride, padding=padding, bias=False)
            up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        nn.init.normal_(down.weight, std=1 / rank)
        nn.init.zeros_(up.weight)
        self.down, self.up = down, up
        self.active = True
        """Off, the layer answers as if nothing were added: so one network is teacher and student."""

    def forward(self, inputs: Tensor) -> Tensor:
        answer: Tensor = self.layer(inputs)
        return answer + self.up(self.down(inputs)) if self.active else answer


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    """Down and across."""
    return values[0], values[-1]


def adapt(network: nn.Module, rank: int) -> dict[str, LowRank]:
    """Put an adapter around every linear and convolutional layer inside the blocks; returns them by the layers' names."""
    found = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and "blocks." in name.replace("mid_block.", "mid_blocks.")
    }
    adapters = {}
    for name, layer in found.items():
        parent, _, last = name.rpartition(".")
        owner = network.get_submodule(parent)
        adapters[name] = LowRank(layer, rank)
        if isinstance(owner, nn.ModuleList | nn.Sequential):
            owner[int(last)] = adapters[name]
        else:
            setattr(owner, last, adapters[name])
    return adapters


def switch(adapters: Sequence[LowRank], *, on: bool) -> None:
    for adapter in adapters:
        adapter.active = on


def save_adapters(adapters: dict[str, LowRank], weights: Sequence[Tensor], file: Path) -> None:
    """In half precision with PEFT's names, which diffusers and the engine read. `weights`: down and up of each in turn."""
    names = [f"{PREFIX}.{name}.lora_{half}.weight" for name in adapters for half in ("A", "B")]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: weight.half().contiguous().cpu() for name, weight in zip(names, weights, strict=True)}, file
    )


def trained_weights(adapters: dict[str, LowRank]) -> list[nn.Parameter]:
    """Down and up of each in turn."""
    return [
        weight
        for adapter in adapters.values()
        for layer in (adapter.down, adapter.up)
        for weight in layer.parameters()
    ]


def load_weights(adapters: dict[str, LowRank], weights: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(trained_weights(adapters), weights, strict=True):
            parameter.copy_(value)
