"""What of a prompt no window has room for."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence


def fitting(words: Sequence[str], room: int, count: Callable[[str], int]) -> int:
    """How many of the first words fit into `room` tokens; `count` says how many a text has, and is asked few times."""
    if count(" ".join(words)) <= room:
        return len(words)
    low, high = 0, len(words)  # The first `low` words fit, the first `high` do not.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(" ".join(words[:middle])) <= room else (low, middle)
    return low


def bare(words: Sequence[str]) -> tuple[str, ...]:
    """Without their punctuation; what is nothing else goes."""
    return tuple(word for cut in words if (word := cut.strip(string.punctuation)))
