"""What steps are made of: which pictures may share one, which do, and where it left them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.catalog import FAMILIES, ModelInfo
from engine.passes import passes
from engine.request import GenerateRequest, Request


class Size(NamedTuple):
    """Of a BatchKey: what steps take is measured for all pictures of one together."""

    model: str
    stage: str
    width: int
    height: int


@dataclass(frozen=True)
class BatchKey:
    """Who may share a step: pictures with equal keys. `width` and `height` are pixels of the result, 0 where sizes mix."""

    model: str
    """The one that requests name, or a copy of it that the worker gave a name of its own: see `PictureProgress`."""
    stage: str
    width: int
    height: int
    conditioning: str = ""
    """What an adapter that cannot be mixed per row adds of itself."""
    padding: str = ""

    @property
    def size(self) -> Size:
        return Size(self.model, self.stage, self.width, self.height)


@dataclass(frozen=True)
class ScheduledPicture:
    """One picture of a request, by its index, and the rows it takes."""

    request: Request
    index: int
    rows: int
    weight: int = 1
    """As how many rows of the model's native size each of its rows counts."""


@dataclass(frozen=True)
class ScheduledBatch:
    """What one step runs: pictures of one key, and the rows they take."""

    key: BatchKey
    pictures: tuple[ScheduledPicture, ...]
    rows: int
    unneeded: frozenset[str] = frozenset()
    """Models that are loaded and nobody asks for: they may go where memory runs out."""


@dataclass(frozen=True)
class PictureProgress:
    """Where a picture stands after a step: `step` of `steps` done; `next_key` is None once it is finished. It may name a
    model that is not loaded: a copy of the picture's own, which is fetched, loaded and evicted by that name.
    """

    request_id: str
    index: int
    step: int
    steps: int
    next_key: BatchKey | None


def first_key(request: Request, model: ModelInfo) -> BatchKey:
    """The key of a request's first stage, known before anything of it is opened."""
    family = FAMILIES[model.family]
    first, _ = sizes(request, model)[0]
    return BatchKey(
        *first,
        conditioning=request.request_id if family.alone else "",
        # A layer pads all rows of a forward pass alike.
        padding="circular" if isinstance(request, GenerateRequest) and request.params.tiling else "",
    )


def sizes(request: Request, model: ModelInfo) -> tuple[tuple[Size, int], ...]:
    """What a picture goes through, one after the other: a size and how many steps it takes there."""
    mixes = FAMILIES[model.family].mixes_sizes
    return tuple(
        (Size(request.model, each.stage, *((0, 0) if mixes else (each.width, each.height))), each.steps)
        for each in passes(request, model)
    )
