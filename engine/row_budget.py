"""How many rows a step should hold: found while working, for one model at one size."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

MAX_ROWS = 64
"""Beyond, joining and aborting would wait longer than any device gains."""
GAIN = 1.05
"""What twice the rows must at least bring in rows a second to be worth the longer steps."""
_WARM_UP = 2
"""Steps of a new width that are not looked at: libraries choose their kernels and caches fill."""
_SAMPLES = 7
"""Steps whose median is believed."""
CALM = 500
"""Full steps after which a width that did not pay, or did not fit, is tried once more; twice as many every time."""


@dataclass
class RowBudget:
    """The knee of rows per second over rows: the least width that twice as many rows would not serve 5 % faster.

    Steps that fill the budget are timed, and the budget doubles as long as that pays. A busy queue therefore measures
    itself, and a quiet one, which never fills a step, has nothing to gain.

    Where sizes mix, a picture may have more rows than the width that doubling began with. Steps with such a one hold no
    twice as many rows after it, whatever the device could do, so that only those of narrower pictures are compared.
    Where there are no others, doubling begins anew with a width that holds them.
    """

    rows: int
    """Most rows of the next step; at least 2, so that one guided picture always fits."""
    most: int = MAX_ROWS
    """Never tried beyond, however well it goes."""
    _rates: list[float] = field(default_factory=list)
    """Rows a second of the steps that are looked at."""
    _wide: int = 0
    """Steps in a row that were not looked at because of a picture wider than `_first`."""
    _rate_before: float | None = None
    """Rows a second with half as many rows; None where this is the width that trials start from."""
    _settled: bool = False
    _calm: int = 0
    _patience: int = CALM

    def __post_init__(self) -> None:
        self._ceiling = self.most
        """What is tried before the next retrial; lowered when the device runs out of memory."""
        self._first = self.rows
        """The width that doubling began with."""

    def observe(self, rows: int, seconds: float, widest: int = 2) -> None:
        """Take in that a step of so many rows took so long, without decoding and encoding. `widest`: the rows of its
        widest picture.
        """
        if not rows or rows + widest <= self.rows or seconds <= 0:
            return  # It did not fill the budget: another picture would have had room.
        if self._settled:
            self._calm += 1
            if self._calm >= self._patience:
                # The machine may have been busy, or its memory taken, when wider steps were tried.
                self._begin(self.rows, None)
                self._settled, self._patience = False, 2 * self._patience
                self._ceiling = min(self.most, 2 * self._ceiling)
            return
        if widest > self._first:
            self._wide += 1
            if self._wide >= _WARM_UP + _SAMPLES:
                holding = next(
                    (width for width in (self.rows // 2, self.rows) if width >= widest), 2 * self.rows
                )
                if holding > self._ceiling:
                    self._settle(self.rows)
                else:
                    self._begin(holding, None)
            return
        self._wide = 0
        self._rates.append(rows / seconds)
        if len(self._rates) < _WARM_UP + _SAMPLES:
            return
        rate = statistics.median(self._rates[_WARM_UP:])
        if self._rate_before is not None and rate < GAIN * self._rate_before:
            self._settle(self.rows // 2)
        elif 2 * self.rows > self._ceiling:
            self._settle(self.rows)
        else:
            self._begin(2 * self.rows, rate)

    def out_of_memory(self, rows: int) -> None:
        """Take in that the device holds no more than so many rows."""
        self._ceiling = max(2, min(self._ceiling, rows))
        self._settle(min(self.rows, self._ceiling))

    def _begin(self, rows: int, rate_before: float | None) -> None:
        self.rows, self._rate_before = rows, rate_before
        if rate_before is None:
            self._first = rows
        self._rates.clear()
        self._wide = 0

    def _settle(self, rows: int) -> None:
        self._begin(max(2, rows), None)
        self._settled, self._calm = True, 0
