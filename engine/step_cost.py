"""What a step costs beside its rows: found while working, for one model at one size."""

from __future__ import annotations

import math
from collections import Counter

_FADING = 0.99
"""What a step still counts after the next one: the last hundred or so decide."""
_ENOUGH = 20
"""Steps before anything is said."""
_WARM_UP = 2
"""Steps of a new width that are not looked at: libraries choose their kernels and caches fill."""


class StepCost:
    """The line seconds = fixed + per row × rows that lies nearest to the last steps, by least squares."""

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._steps = self._weight = 0.0
        self._rows = self._seconds = self._rows_squared = self._products = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Take in that a step of so many rows took so long, without decoding and encoding."""
        self._seen[rows] += 1
        if not rows or self._seen[rows] <= _WARM_UP:
            return
        self._steps += 1
        self._weight = _FADING * self._weight + 1
        self._rows = _FADING * self._rows + rows
        self._seconds = _FADING * self._seconds + seconds
        self._rows_squared = _FADING * self._rows_squared + rows * rows
        self._products = _FADING * self._products + rows * seconds

    def seconds(self, rows: float) -> float | None:
        """What a step of so many rows takes; None as long as nothing is known. Where steps were too few, or all of one
        width, twice the rows are held to take twice as long.
        """
        if not self._weight:
            return None
        usual, mean = self._rows / self._weight, self._seconds / self._weight
        per_row = mean / usual if self._per_row is None else min(max(0.0, self._per_row), mean / usual)
        return mean + per_row * (rows - usual)

    @property
    def overhead(self) -> float:
        """How many rows take as long as what a step costs beside its rows. Infinite where rows cost nothing, and as long as
        steps were too few, or all of one width, to tell.
        """
        per_row = self._per_row
        if per_row is None:
            return math.inf
        rows, seconds = self._rows / self._weight, self._seconds / self._weight
        # What is a millionth of the whole is rounding.
        return max(0.0, seconds / per_row - rows) if per_row * rows > 1e-6 * seconds else math.inf

    @property
    def _per_row(self) -> float | None:
        """Seconds by which a row more makes a step longer; None as long as that cannot be told."""
        if self._steps < _ENOUGH:
            return None
        rows, seconds = self._rows / self._weight, self._seconds / self._weight
        spread = self._rows_squared - self._weight * rows * rows
        if spread <= 1e-6 * self._rows_squared:
            return None
        return (self._products - self._weight * rows * seconds) / spread
