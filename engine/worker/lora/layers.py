"""A plain LoRA's change of one layer, or a DoRA's, once it is known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

EXTRA = {"dora_scale", "magnitude"}
"""What a DoRA has beside down and up."""


@dataclass(frozen=True, eq=False)
class LoraLayer:
    """What is added to one Linear or Conv2d: `alpha / rank * up(down(x))`. With a `magnitude`, weights so changed are then
    brought to that length, output by output, as a DoRA does (Liu et al. 2024).
    """

    down: torch.Tensor
    """(rank, in) or (rank, in, height, width)"""
    up: torch.Tensor
    """(out, rank) or (out, rank, 1, 1)"""
    alpha: float
    rank: float
    """What alpha is divided by: `down`'s rank, or its square root in rank-stabilised LoRAs."""
    magnitude: torch.Tensor | None = None
    """(out,)"""

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.down, self.up, self.magnitude) if part is not None)


class MisfitError(Exception):
    """What of a file has no place in the model."""


def halves_of(
    parts: Mapping[str, torch.Tensor], shape: torch.Size, given: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Down and up in the number of dimensions of the layer's weights, which are of this shape; `given`: what a file calls it.

    Raises:
        MisfitError: they are of other sizes.
    """
    down, up = parts["down"], parts["up"]
    rank = down.shape[0] if down.ndim else 0
    expected_down: tuple[int, ...] = (rank, *shape[1:])
    expected_up: tuple[int, ...] = (shape[0], rank)
    if len(shape) == 4:
        expected_up = (*expected_up, 1, 1)
    # 1×1 convolutions and linear layers have turned into each other over the years; the numbers are the same.
    fits = rank and all(
        _squeezed(tensor.shape) == _squeezed(expected)
        for tensor, expected in ((down, expected_down), (up, expected_up))
    )
    if not fits:
        raise MisfitError(
            f"{given} has the shapes {tuple(down.shape)} and {tuple(up.shape)}, this model's layer asks for"
            f" {expected_down} and {expected_up}",
        )
    return down.reshape(expected_down), up.reshape(expected_up)


def magnitude_of(parts: Mapping[str, torch.Tensor], shape: torch.Size, given: str) -> torch.Tensor | None:
    """A DoRA's (out,); None of a plain LoRA. Raises MisfitError, likewise."""
    found = next((parts[name] for name in EXTRA if name in parts), None)
    if found is None:
        return None
    out = shape[0]
    # Trainers with the name `dora_scale` may also have measured along the inputs, in another shape.
    if found.numel() != out or not found.ndim or ("dora_scale" in parts and found.shape[0] != out):
        raise MisfitError(
            f"{given} has a magnitude of the shape {tuple(found.shape)}, this model's layer {out} outputs"
        )
    return found.reshape(out)


def _squeezed(shape: tuple[int, ...] | torch.Size) -> tuple[int, ...]:
    return tuple(shape[:2]) if tuple(shape[2:]) == (1, 1) else tuple(shape)
