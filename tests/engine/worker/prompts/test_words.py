"""Words of embeddings in every alphabet: what is found is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.request import same_case
from engine.worker.prompts.embeddings import Embedding, split, used_in


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("kadin", "a kadın dog", False),
        ("kadin", "KADIN", True),
        ("kadin", "KADİN", False),
        ("mist", "a miſt", True),
        ("kit", "a \u212aIT", True),
        ("İ", "i İ", True),
        ("ı", "I i", False),
        ("straße", "STRAẞE", True),
        ("ΣΑΣ", "σας", True),
    ],
)
def test_words_of_every_alphabet(word: str, text: str, found: bool) -> None:
    embedding = Embedding((("", 0, 0),), {})
    assert (embedding in split(text, ((word, embedding),))) is found
    assert bool(used_in(text, ((word, embedding),))) is found


@given(st.text(min_size=1, max_size=8), st.text(max_size=20))
def test_what_matches_is_looked_up(word: str, text: str) -> None:
    embedding = Embedding((("", 0, 0),), {})
    pieces = split(f"{text} {word.upper()} {text}", ((word, embedding),))
    if word.upper().lower() == word.upper().casefold() == word:
        assert embedding in pieces
    assert (embedding in pieces) is bool(used_in(f"{text} {word.upper()} {text}", ((word, embedding),)))


@given(st.text())
def test_places_stay(text: str) -> None:
    assert len(same_case(text)) == len(text)
    assert same_case(same_case(text)) == same_case(text)
