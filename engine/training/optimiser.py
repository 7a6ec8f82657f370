"""Muon for the inner matrices, AdamW for the rest, and the running average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.compute import fast_dtype

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)


class Optimiser:
    """One step over several modules, which lie where they will be trained.

    Matrices and convolutions inside a network go to Muon (Jordan et al. 2024: momentum whose singular values
    are brought near 1, here scaled by 0.2·√max(m, n) so that AdamW's rates carry over); embeddings, norms,
    biases and the layers at the ends go to AdamW.
    """

    def __init__(
        self, modules: Sequence[nn.Module], *, matrix_rate: float, other_rate: float, decay: float = 0.01
    ) -> None:
        self._matrix_rate, self._other_rate, self._decay = matrix_rate, other_rate, decay
        self._matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:  # Weight decay alone would carry it off.
                    continue
                ends = ("conv_in", "conv_out", "embed", "time_", "add_embedding", "heads")
                inner = parameter.ndim in (2, 4) and not any(end in name for end in ends)
                (self._matrices if inner else others).append(parameter)
        self._momenta = [torch.zeros_like(parameter) for parameter in self._matrices]
        self._alike: dict[tuple[int, ...], tuple[list[nn.Parameter], list[Tensor]]] = {}
        for parameter, momentum in zip(self._matrices, self._momenta, strict=True):
            same = self._alike.setdefault(tuple(parameter.shape), ([], []))
            same[0].append(parameter)
            same[1].append(momentum)
        self._adamw = torch.optim.AdamW(
            others, lr=other_rate, betas=(0.9, 0.99), weight_decay=decay, fused=True
        )
        self._all = [*self._matrices, *others]

    def step(self, factor: float, clip: float = 2.0) -> Tensor:
        """Apply and clear the gradients at `factor` of the peak rates; return their norm before clipping, 0-dim."""
        norm = torch.nn.utils.clip_grad_norm_(self._all, clip)
        with torch.no_grad():
            for parameters, momenta in self._alike.values():
                self._turn(parameters, momenta, self._matrix_rate * factor)
        for group in self._adamw.param_groups:
            group["lr"] = self._other_rate * factor
        self._adamw.step()
        for parameter in self._all:
            parameter.grad = None
        return norm

    def _turn(self, parameters: list[nn.Parameter], momenta: list[Tensor], rate: float) -> None:
        """One Muon step for matrices of one shape; stacking them turns thousands of small products into a few."""
        gradients = [
            parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            for parameter in parameters
        ]
        torch._foreach_mul_(momenta, 0.95)
        torch._foreach_add_(momenta, gradients)
        updates = [g.add(m, alpha=0.95).reshape(len(g), -1) for g, m in zip(gradients, momenta, strict=True)]
        turned = _orthogonal(torch.stack(updates)).to(parameters[0].dtype)
        scale = 0.2 * max(turned.shape[1:]) ** 0.5
        for parameter, update in zip(parameters, turned, strict=True):
            parameter.mul_(1 - rate * self._decay).add_(update.reshape(parameter.shape), alpha=-rate * scale)

    def state(self) -> dict[str, Any]:
        return {"momenta": self._momenta, "adamw": self._adamw.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        for momentum, saved in zip(self._momenta, state["momenta"], strict=True):
            momentum.copy_(saved)
        self._adamw.load_state_dict(state["adamw"])


def _orthogonal(matrices: Tensor) -> Tensor:
    """(n, rows, columns) → for each the nearest matrix with singular values near 1: five Newton–Schulz steps."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(fast_dtype(matrices.device, torch.bfloat16))
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Average:
    """An exponential average of parameters, faster at first."""

    def __init__(self, modules: Iterable[nn.Module], decay: float, *, trained: bool = False) -> None:
        """`trained`: of those alone that are not frozen."""
        self._decay = decay
        self._live = [
            parameter
            for module in modules
            for parameter in module.parameters()
            if parameter.requires_grad or not trained
        ]
        self.values = [parameter.detach().clone() for parameter in self._live]

    def update(self, index: int) -> None:
        decay = min(self._decay, (index + 1) / (index + 10))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self._live], 1 - decay)

    def load(self, values: list[Tensor]) -> None:
        for value, saved in zip(self.values, values, strict=True):
            value.copy_(saved)
