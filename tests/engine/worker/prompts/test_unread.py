"""How many words fit, where only the whole text can be measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.worker.prompts.unread import bare, fitting


@given(st.lists(st.text("abc", min_size=1, max_size=9), max_size=20), st.integers(0, 60))
def test_as_many_as_there_is_room_for(words: list[str], room: int) -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text)

    found = fitting(words, room, count)
    assert found == len(words) or len(" ".join(words[: found + 1])) > room
    assert len(" ".join(words[:found])) <= room
    assert len(asked) <= 6


def test_words_without_their_punctuation() -> None:
    assert bare(["(red", "cat,", "--", "don't"]) == ("red", "cat", "don't")
