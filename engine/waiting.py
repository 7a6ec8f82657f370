"""What the scheduler knows of a request until its last picture is finished."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.batch import BatchKey, Size
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
    sizes: tuple[tuple[Size, int], ...]
    """What each picture goes through, and the steps that are known of before it starts."""
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
        return float(self.rows * sum(map(self.steps_left.__getitem__, self.pictures)))

    def work_by_size(self) -> list[tuple[Size, float]]:
        """Row-steps that are left at each size, in the order in which they are gone through."""
        if len(self.sizes) == 1:
            return [(self.sizes[0][0], self.work)]
        left = [0] * len(self.sizes)
        for index in self.pictures:
            place, left_here = self.size_left(index)
            left[place] += left_here
            for later in range(place + 1, len(self.sizes)):
                left[later] += self.sizes[later][1]
        return [
            (size, float(self.rows * steps))
            for (size, _), steps in zip(self.sizes, left, strict=True)
            if steps
        ]

    def size_left(self, index: int) -> tuple[int, int]:
        """At which of its sizes a picture is, and the steps that are left of it there."""
        left = self.steps_left[index]
        for place in range(len(self.sizes) - 1, 0, -1):
            if left <= self.sizes[place][1]:
                return place, left
            left -= self.sizes[place][1]
        return 0, left

    @property
    def submitted_at(self) -> float:
        return self.request.submitted_at or 0.0
