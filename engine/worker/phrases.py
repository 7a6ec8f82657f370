"""What pictures are described with: groups of phrases, one after the other, and how each joins what is said already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PhraseGroup:
    """One of these is said, or none."""

    join: str
    """With `{said}` and `{phrase}`."""
    phrases: tuple[str, ...]

    def joined(self, said: str, phrase: str) -> str:
        return self.join.format(said=said, phrase=phrase) if said else phrase


def read_groups(settings: Mapping[str, Any]) -> Sequence[PhraseGroup]:
    """Of a phrases.json: `{"groups": [{"join": "{said}, {phrase}", "phrases": [...]}, …]}`.

    Raises:
        ValueError: it is none.
    """
    groups = settings.get("groups")
    if not isinstance(groups, list) or not groups:
        raise ValueError("no groups of phrases")
    made = []
    for group in groups:
        phrases, join = group.get("phrases"), group.get("join", "{said}, {phrase}")
        if not phrases or not all(isinstance(phrase, str) and phrase.strip() for phrase in phrases):
            raise ValueError("a group without phrases")
        made.append(PhraseGroup(join, tuple(phrases)))
        made[-1].joined("a", "b")
    return made
