"""Discord's ids: milliseconds since 2015 in the upper bits, a counter below, so ids sort by time."""

from __future__ import annotations

from bot.playground.clock import Clock

DISCORD_EPOCH = 1_420_070_400_000
"""The first millisecond of 2015, from which snowflakes count."""


class Snowflakes:
    """Gives ids as strings, each greater than every one before, even when the clock stands still or goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> str:
        now = int(self._clock.now() * 1000 - DISCORD_EPOCH) << 22
        self._last = max(now, self._last + 1)
        return str(self._last)

    def seen(self, snowflake: str) -> None:
        """Ids from an earlier run count as given, so that a clock that went back makes none twice."""
        self._last = max(self._last, int(snowflake))


def created_at(snowflake: str) -> float:
    """The second since the Unix epoch at which this id was made."""
    return ((int(snowflake) >> 22) + DISCORD_EPOCH) / 1000
