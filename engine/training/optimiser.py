"""Muon for the inner matrices, AdamW for the rest, and the running average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)


class Optimiser:
    """One step over several modules.

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
                ends = ("conv_in", "conv_out", "embed", "time_", "add_embedding")
                inner = parameter.ndim in (2, 4) and not any(end in name for end in ends)
                (self._matrices if inner else others).append(parameter)
        self._momenta = [torch.zeros_like(parameter) for parameter in self._matrices]
        self._adamw = torch.optim.AdamW(
            others, lr=other_rate, betas=(0.9, 0.99), weight_decay=decay, fused=True
        )
        self._all = [*self._matrices, *others]

    def step(self, factor: float, clip: float = 2.0) -> float:
        """Apply and clear the gradients at `factor` of the peak rates; return their norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self._all, clip)
        with torch.no_grad():
            for parameter, momentum in zip(self._matrices, self._momenta, strict=True):
                if parameter.grad is None:
                    continue
                momentum.mul_(0.95).add_(parameter.grad)
                update = parameter.grad.add(momentum, alpha=0.95)
                matrix = _orthogonal(update.reshape(len(update), -1))
                rate = self._matrix_rate * factor
                scale = 0.2 * max(matrix.shape) ** 0.5
                parameter.mul_(1 - rate * self._decay)
                parameter.add_(matrix.reshape(update.shape).to(parameter.dtype), alpha=-rate * scale)
        for group in self._adamw.param_groups:
            group["lr"] = self._other_rate * factor
        self._adamw.step()
        for parameter in self._all:
            parameter.grad = None
        return float(norm)

    def state(self) -> dict[str, Any]:
        return {"momenta": self._momenta, "adamw": self._adamw.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        for momentum, saved in zip(self._momenta, state["momenta"], strict=True):
            momentum.copy_(saved)
        self._adamw.load_state_dict(state["adamw"])


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near 1, by five Newton–Schulz steps in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Average:
    """An exponential average of parameters, faster at first."""

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self._decay = decay
        self._live = [parameter for module in modules for parameter in module.parameters()]
        self.values = [parameter.detach().clone() for parameter in self._live]

    def update(self, index: int) -> None:
        decay = min(self._decay, (index + 1) / (index + 10))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self._live], 1 - decay)

    def load(self, values: list[Tensor]) -> None:
        self.values = values
