"""What weights and parts a prompt's text means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.validation import count_parts
from engine.worker.prompts.syntax import MAX_WEIGHT, Part, Span, parse_prompt


def spans(prompt: str) -> list[tuple[str, float]]:
    (part,) = parse_prompt(prompt)
    return [(span.text, pytest.approx(span.weight)) for span in part.spans]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red cat", [("a red cat", 1.0)]),
        ("a (red) cat", [("a ", 1.0), ("red", 1.1), (" cat", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 1 / 1.1)]),
        ("(red:1.5), [cat]", [("red", 1.5), (", ", 1.0), ("cat", 1 / 1.1)]),
        ("(a (red:2) cat:0.5)", [("a ", 0.5), ("red", 1.0), (" cat", 0.5)]),
        ("(red : -.5 )", [("red ", -0.5)]),
        (r"a cat \(sitting\) \[x\] \\ \: \a", [("a cat (sitting) [x] \\ : \\a", 1.0)]),
        ("a :) cat (: ] [", [("a :) cat (: ] [", 1.0)]),
        ("([red)", [("[red", 1.1)]),
        ("12:30, red:1.2", [("12:30, red:1.2", 1.0)]),
        ("red:1.2)", [("red:1.2)", 1.0)]),
        ("[red:1.2]", [("red:1.2", 1 / 1.1)]),
        ("(red:99)", [("red", MAX_WEIGHT)]),
        ("", []),
    ],
)
def test_brackets(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert spans(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat:: a dog::2", [(1.0, "a cat"), (2.0, " a dog")]),
        ("cup:: cake", [(1.0, "cup"), (1.0, " cake")]),
        ("cup::-.5 cake", [(-0.5, "cup"), (1.0, " cake")]),
        ("a::2nd::1.5.", [(1.0, "a"), (1.5, "2nd"), (1.0, ".")]),
        (":: ::", [(1.0, "")]),
        (r"a\:: b", [(1.0, "a:: b")]),
    ],
)
def test_parts(prompt: str, expected: list[tuple[float, str]]) -> None:
    assert [(part.weight, part.text) for part in parse_prompt(prompt)] == expected


PUNCTUATION = st.text(alphabet="()[]:\\.-+ 0123ab", max_size=60)


@given(st.text() | PUNCTUATION)
def test_every_text_means_something(prompt: str) -> None:
    parts = parse_prompt(prompt)
    assert parts
    for part in parts:
        assert abs(part.weight) <= MAX_WEIGHT
        assert all(span.text and abs(span.weight) <= MAX_WEIGHT for span in part.spans)


@given(st.text(alphabet=st.characters(exclude_characters="()[]:\\")))
def test_text_without_syntax_stays_as_it_is(prompt: str) -> None:
    assert parse_prompt(prompt)[0].text.strip() == prompt.strip()


@given(st.text(alphabet="([ab", max_size=30))
def test_brackets_that_nothing_closes_are_text(prompt: str) -> None:
    (part,) = parse_prompt(prompt)
    assert part.text == prompt
    assert all(span.weight == 1.0 for span in part.spans)


def escaped(text: str) -> str:
    return re.sub(r"([()\[\]:\\])", r"\\\1", text)


WEIGHTS = st.integers(-100, 100).map(lambda tenths: tenths / 10)
SPANS = st.lists(st.builds(Span, st.text(min_size=1), WEIGHTS), min_size=1)


@given(st.lists(st.tuples(WEIGHTS, SPANS), min_size=1))
def test_what_is_written_is_read_back(written: list[tuple[float, list[Span]]]) -> None:
    """Every sequence of weighted spans can be said; neighbours of one weight become one span."""
    prompt = "".join(
        "".join(f"({escaped(span.text)}:{span.weight:.1f})" for span in part) + f"::{weight:.1f} "
        for weight, part in written
    )
    expected = []
    for number, (weight, part) in enumerate(written):
        merged: list[Span] = [Span(" ", 1.0)] if number else []
        for span in part:
            if merged and merged[-1].weight == span.weight:
                merged[-1] = Span(merged[-1].text + span.text, span.weight)
            else:
                merged.append(span)
        expected.append(Part(weight, tuple(merged)))
    expected = [part for part in expected if part.text.strip()] or [Part(1.0, ())]
    assert list(parse_prompt(prompt)) == expected


@given(PUNCTUATION)
def test_the_door_counts_no_fewer_parts(prompt: str) -> None:
    parts = parse_prompt(prompt)
    assert count_parts(prompt) >= len([part for part in parts if part.spans])


@given(st.text(alphabet="\\:.-2 ab", max_size=60))
def test_the_door_counts_the_parts_that_are_read(prompt: str) -> None:
    assert count_parts(prompt) == len(
        [part for part in parse_prompt(prompt) if part.spans and part.text.strip()]
    )


def test_four_thousand_brackets_take_no_time() -> None:
    assert parse_prompt("(" * 2000 + "a" + ")" * 2000)[0].spans == (Span("a", MAX_WEIGHT),)
    assert parse_prompt("[" * 2000 + ")" * 2000)[0].text == "[" * 2000 + ")" * 2000
