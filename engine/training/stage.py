"""What trainers have in common: weights, their running average and their optimiser, saved and taken up together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from engine.training.compute import Compute
from engine.training.loop import warm_cosine
from engine.training.optimiser import Average, Optimiser

M = TypeVar("M", bound=nn.Module)


class AveragedStage(Generic[M]):
    """Trains one module, whose average is what counts. A subclass says what a step is."""

    def __init__(
        self,
        compute: Compute,
        build: Callable[[], M],
        *,
        matrix_rate: float,
        other_rate: float,
        decay: float,
        weight_decay: float = 0.01,
        convolutional: bool = False,
    ) -> None:
        """`decay`: how much of the average a step keeps."""
        self.compute, self._build = compute, build
        self.model = compute.place(build(), convolutional=convolutional)
        compute.trained(self.model)
        self.average = Average([self.model], decay=decay)
        self._optimiser = Optimiser(
            [self.model], matrix_rate=matrix_rate, other_rate=other_rate, decay=weight_decay
        )

    def descend(
        self, loss: Tensor, index: int, progress: float, *, hold: float = 0.3, clip: float = 1.0
    ) -> Tensor:
        """One step down; returns the gradient's norm before clipping, 0-dim."""
        loss.backward()
        norm = self._optimiser.step(warm_cosine(index, progress, warm=100, hold=hold, floor=0.02), clip=clip)
        self.average.update(index)
        return norm

    def averaged(self) -> M:
        model = self.compute.place(self._build())
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self.average.values, strict=True):
                parameter.copy_(value)
        return model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.values,
            "optimiser": self._optimiser.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load(state["average"])
        self._optimiser.load(state["optimiser"])

    def sample(self, folder: Path, index: int) -> None:
        """Most have nothing to show but their curve."""
