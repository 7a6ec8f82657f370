"""What a family offers: an ordered tuple of stages, each of which begins, denoises and finishes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from engine.output import Result
from engine.worker.request_state import NamedFiles, RequestState

Pixels = npt.NDArray[np.uint8]


class Stage(Protocol):
    """One loop of steps. State is the truth; the batch is rebuilt every step.

    `pictures` are of the kind of PictureState that the stage's own begin, or the hand-over to it, made.
    """

    name: str
    """Part of the BatchKey; the family's row in `engine.catalog.FAMILIES` lists the same names in order."""

    def begin(self, state: RequestState) -> None:
        """Prepare every picture of a request: conditions, schedule, generator, noise."""
        ...

    def denoise(self, pictures: Sequence[Any]) -> None:
        """Move every picture one step on, together. Pictures change only once nothing can fail any more."""
        ...

    def finish(self, pictures: Sequence[Any]) -> list[Result]:
        """What comes of pictures of one request that are done, in their order: uint8 RGB (H, W, 3), a text or an embedding."""
        ...

    def preview(self, pictures: Sequence[Any]) -> Sequence[Pixels | None]:
        """Thumbnails of pictures that have been stepped, at most 128 px a side; None where there is nothing to see."""
        ...


@runtime_checkable
class StageBefore(Stage, Protocol):
    """A stage that others may come after, or the same once more: pictures that are made small first are drawn over."""

    def hand_over(self, state: RequestState, pictures: Sequence[Any]) -> None:
        """Begin the next pass of pictures of one request that are through this one. What becomes another kind takes its
        place in `state.pictures`. What was handed over before an error stays so.
        """
        ...


@runtime_checkable
class BoundStage(Stage, Protocol):
    """A stage whose pictures are in the midst of something of the model's: when it leaves the device, they begin anew."""

    bound: bool


@runtime_checkable
class FrugalStage(Stage, Protocol):
    """A stage whose step can do with less memory for a single picture."""

    def save_memory(self) -> bool:
        """Take less at once from now on; False when that is already so."""
        ...


@runtime_checkable
class WeightsReader(Protocol):
    """A family whose requests may name weights of their own."""

    def read_weights(self, request: Any) -> NamedFiles:
        """Read the weights that a request names, while others are stepped. Raises GenerationFailed."""
        ...


@runtime_checkable
class EnlargingFamily(Protocol):
    """A model that ends with a super-resolution network of its own."""

    enlarges: int
    """How many times as large as what is drawn its pictures are; sizes in requests are those of the pictures."""


class LoadedFamily(Protocol):
    """A model with its weights on the device."""

    stages: tuple[Stage, ...]

    def save_memory(self) -> bool:
        """Decode in slices and tiles from now on; False when that is already so."""
        ...
