"""LoHa and LoKr: changes of weights that are products of two smaller ones (Hyeon-Woo et al. 2022, Yeh et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

KINDS = {"hada": "a LoHa", "lokr": "a LoKr"}
"""By what the names of their tensors begin with."""


@dataclass(frozen=True, eq=False)
class ProductLayer:
    """What is added to the weights of one Linear or Conv2d: `alpha / rank` times `first` × `second`, number by number in a
    LoHa, and every number of one times all of the other in a LoKr.
    """

    first: tuple[torch.Tensor, ...]
    """(rows, columns), or two matrices that make it: (rows, rank) and (rank, columns). Of `second` likewise."""
    second: tuple[torch.Tensor, ...]
    kronecker: bool
    alpha: float
    rank: float

    @property
    def nbytes(self) -> int:
        return sum(factor.nbytes for factor in (*self.first, *self.second))

    def change(self, shape: torch.Size) -> torch.Tensor:
        """In the shape of the layer's weights. Made anew for every step, as it takes as much memory as they do."""
        first, second = (
            each[0] if len(each) == 1 else each[0] @ each[1] for each in (self.first, self.second)
        )
        return (torch.kron(first, second) if self.kronecker else first * second).reshape(shape)


def product_of(
    parts: Mapping[str, torch.Tensor],
    shape: torch.Size,
    device: torch.device,
    dtype: torch.dtype,
    alpha: float | None,
) -> ProductLayer | None:
    """Of the tensors of one layer by their names in files; `shape`: of its weights. None where they do not fit."""
    kronecker = any(name.startswith("lokr") for name in parts)
    stem = "lokr_w" if kronecker else "hada_w"
    factors, ranks = [], []
    for number in "12":
        names = (
            [f"{stem}{number}"] if f"{stem}{number}" in parts else [f"{stem}{number}_{half}" for half in "ab"]
        )
        if any(name not in parts or parts[name].ndim < 2 for name in names):
            return None
        # The numbers of a convolution's kernel follow those of its channels.
        made = tuple(parts[name].flatten(1).to(device, dtype) for name in names)
        if len(made) == 2:
            if made[0].shape[1] != made[1].shape[0]:
                return None
            ranks.append(made[1].shape[0])
        factors.append(made)
    (rows, columns), (more_rows, more_columns) = ((each[0].shape[0], each[-1].shape[1]) for each in factors)
    sides = (rows * more_rows, columns * more_columns) if kronecker else (rows, columns)
    if sides != (shape[0], math.prod(shape[1:])) or not (kronecker or sides == (more_rows, more_columns)):
        return None
    # Where neither factor is made of two, nothing has a rank, and alpha says nothing.
    rank = ranks[0] if ranks else 1
    return ProductLayer(
        factors[0], factors[1], kronecker, rank if alpha is None or not ranks else alpha, rank
    )
