"""What a family offers: an ordered tuple of stages, each of which begins, denoises and finishes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from engine.output import Safety
from engine.request import Request
from engine.worker.request_state import NamedFiles, PictureState, RequestState

Pixels = npt.NDArray[np.uint8]


class Stage(Protocol):
    """One loop of denoising steps. State is the truth; the batch is rebuilt every step."""

    name: str
    """Part of the BatchKey; the family's row in `engine.catalog.FAMILIES` lists the same names in order."""

    def begin(self, state: RequestState) -> None:
        """Prepare every picture of a request: conditions, schedule, generator, noise."""
        ...

    def denoise(self, pictures: Sequence[PictureState]) -> None:
        """Move every picture one step on, together. Pictures change only once nothing can fail any more."""
        ...

    def finish(self, pictures: Sequence[PictureState]) -> list[tuple[Pixels, Safety]]:
        """Turn pictures of one request that are done into uint8 RGB (H, W, 3)."""
        ...

    def preview(self, pictures: Sequence[PictureState]) -> Sequence[Pixels | None]:
        """Thumbnails of pictures that have been stepped, at most 128 px a side; None where there is nothing to see."""
        ...


@runtime_checkable
class StageBefore(Stage, Protocol):
    """A stage that others may come after, or the same once more: pictures that are made small first are drawn over."""

    def hand_over(self, pictures: Sequence[PictureState]) -> None:
        """Begin the next pass of pictures of one request that are through this one; what was handed over before an error
        stays so.
        """
        ...


@runtime_checkable
class BoundStage(Stage, Protocol):
    """A stage whose pictures are in the midst of something of the model's: when it leaves the device, they begin anew."""

    bound: bool


@runtime_checkable
class WeightsReader(Protocol):
    """A family whose requests may name weights of their own."""

    def read_weights(self, request: Request) -> NamedFiles:
        """Read what a request names, while others are stepped. Raises GenerationFailed."""
        ...


class LoadedFamily(Protocol):
    """A model with its weights on the device."""

    stages: tuple[Stage, ...]

    def save_memory(self) -> bool:
        """Decode in slices and tiles from now on; False when that is already so."""
        ...
