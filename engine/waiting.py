"""What the scheduler knows of a request until its last picture is finished."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.batch import BatchKey
from engine.request import Request
from engine.shares import Share

PileId = str | tuple[BatchKey, int]
"""All requests with pictures of a model, or those with pictures of one key and so many rows each."""


@dataclass
class Waiting:
    """A request that has not ended. `pictures` holds the unfinished ones."""

    request: Request
    arrival: int
    share: Share
    rows: int
    """Of each picture."""
    weight: int
    """Of each of its rows."""
    pictures: dict[int, BatchKey]
    steps_left: dict[int, int]
    steps_done: dict[int, int]
    piles: set[PileId] = field(default_factory=set)
    rows_counted: int = 0
    """Among the rows that wait."""
    models: set[str] = field(default_factory=set)
    """Of its unfinished pictures."""
    started: bool = False
    held: set[str] = field(default_factory=set)
    """Models that its turn had come with, and what it needs for them is being read."""
    stepped_over_age: set[str] = field(default_factory=set)
    """Models that it has stepped with while it was over age."""

    @property
    def work(self) -> float:
        """Row-steps that are left."""
        return float(self.rows * sum(self.steps_left[index] for index in self.pictures))

    @property
    def submitted_at(self) -> float:
        return self.request.submitted_at or 0.0
