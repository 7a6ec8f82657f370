"""What pictures are described with: groups of phrases in the order in which they are looked for, and where each is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_GAIN = 1e-3
"""Of the cosine between the picture and what is said."""


@dataclass(frozen=True)
class PhraseGroup:
    """One of these is said, or none."""

    phrases: tuple[str, ...]
    place: int
    """In the sentence: lower ones come first."""
    lead: str
    """What stands before the phrase where others come before it."""
    gain: float
    """How much nearer to the picture the sentence has to come for it to be said. A smaller rise may be of rounding, as where
    what is added lies past the window."""


def read_groups(content: Any) -> Sequence[PhraseGroup]:
    """Of a phrases.json, as it was parsed: `{"groups": [{"phrases": [...], "place": 1, "lead": ", ", "gain": 0.01}, …]}`; without
    a place they are said in the order in which they are looked for.

    Raises:
        ValueError: it is none.
    """
    groups = content.get("groups") if isinstance(content, dict) else None
    if not isinstance(groups, list) or not groups:
        raise ValueError("no groups of phrases")
    made = []
    for index, group in enumerate(groups):
        phrases = group.get("phrases") if isinstance(group, dict) else None
        # A text alone would be taken for a list of its letters.
        if not isinstance(phrases, list) or not phrases:
            raise ValueError(f"group {index + 1} has no list of phrases")
        if not all(isinstance(phrase, str) and phrase.strip() for phrase in phrases):
            raise ValueError(f"group {index + 1} has phrases that are no texts")
        place, lead, gain = group.get("place", index), group.get("lead", ", "), group.get("gain", 0)
        if not isinstance(place, int) or not isinstance(lead, str):
            raise ValueError(f"in group {index + 1} the place is no whole number, or the lead no text")
        if not isinstance(gain, int | float) or not math.isfinite(gain):
            raise ValueError(f"in group {index + 1} the gain is no number")
        made.append(PhraseGroup(tuple(phrases), place, lead, max(LEAST_GAIN, gain)))
    return made


def sentence(groups: Sequence[PhraseGroup], chosen: Mapping[int, str]) -> str:
    """`chosen`: the number of a group → its phrase."""
    ordered = sorted(chosen, key=lambda number: (groups[number].place, number))
    said = "".join(groups[number].lead + chosen[number] for number in ordered)
    return said.removeprefix(groups[ordered[0]].lead) if ordered else ""
