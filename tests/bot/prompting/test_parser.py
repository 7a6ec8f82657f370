"""Prompts and their flags: reading, writing, and errors that say what to do."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain import Parameters
from bot.errors import UserError
from bot.prompting import PARAMETERS, ParameterRow, Prompt, format_prompt, parse
from bot.prompting.parameters import NotAllowedError
from bot.texts import say

FLAGS = st.sampled_from([name for row in PARAMETERS for name in (row.name, *row.aliases)] + ["sed", "v"])
PIECES = st.one_of(
    st.text(max_size=20),
    st.builds(
        "{} {}{} {}".format,
        st.text("ab —-,", max_size=5),
        st.sampled_from(["--", "—", "–", "---"]),
        FLAGS,
        st.one_of(st.text(max_size=8), st.integers().map(str), st.sampled_from(["3:2", "1", "a, b", "4"])),
    ),
)


def error_of(typed: str) -> UserError:
    with pytest.raises(UserError) as caught:
        parse(typed)
    say(f"error.{caught.value.code}", **caught.value.values)
    return caught.value


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("a red sailboat", Prompt("a red sailboat", Parameters())),
        ("a cat --ar 3:2", Prompt("a cat", Parameters(aspect=(3, 2)))),
        ("a cat --aspect 3:2 --seed 7 --n 1", Prompt("a cat", Parameters(aspect=(3, 2), seed=7, n=1))),
        ("a cat —ar 3:2 –seed 7", Prompt("a cat", Parameters(aspect=(3, 2), seed=7))),
        ("a cat --AR=3:2", Prompt("a cat", Parameters(aspect=(3, 2)))),
        (
            "a cat --no dogs, red  hats --no dogs,birds",
            Prompt("a cat", Parameters(no=("dogs", "red hats", "birds"))),
        ),
        ("a cat --seed 4294967295", Prompt("a cat", Parameters(seed=4294967295))),
        ("a cat --n 2 --n 2", Prompt("a cat", Parameters(n=2))),
        (
            "a cat — asleep, red–blue -- quiet --5",
            Prompt("a cat — asleep, red–blue -- quiet --5", Parameters()),
        ),
        ("  two\nlines\t--n 1 ", Prompt("two\nlines", Parameters(n=1))),
        ("a\ud800cat\x00", Prompt("a cat", Parameters())),
    ],
)
def test_prompts_are_read(typed: str, prompt: Prompt) -> None:
    assert parse(typed) == prompt


@pytest.mark.parametrize(
    ("typed", "code", "values"),
    [
        ("", "prompt_empty", {}),
        (" \n", "prompt_empty", {}),
        ("--ar 3:2", "prompt_empty", {}),
        ("a" * 4001, "prompt_too_long", {"got": 4001, "maximum": 4000, "over": 1}),
        ("a --ar 0:1", "parameter_out_of_range", {"parameter": "ar", "got": "0:1", "nearest": "1:4"}),
        ("a --ar 1:0", "parameter_out_of_range", {"nearest": "4:1"}),
        ("a --ar 1.5:1", "parameter_out_of_range", {"got": "1.5:1", "nearest": "3:2"}),
        ("a --ar 16/9", "parameter_out_of_range", {"nearest": "16:9"}),
        ("a --ar 1:100", "parameter_out_of_range", {"nearest": "1:4"}),
        ("a --ar wide", "parameter_out_of_range", {"got": "wide", "nearest": "1:1"}),
        ("a --ar .:1", "parameter_out_of_range", {"nearest": "1:1"}),
        ("a --aspect 9:1", "parameter_out_of_range", {"parameter": "ar", "nearest": "4:1"}),
        ("a --seed -1", "parameter_out_of_range", {"parameter": "seed", "got": "-1", "nearest": "0"}),
        ("a —seed —1", "parameter_out_of_range", {"nearest": "0"}),
        ("a --seed 4294967296", "parameter_out_of_range", {"nearest": "4294967295"}),
        ("a --seed abc", "parameter_out_of_range", {"got": "abc", "nearest": "0"}),
        ("a --seed 12.7", "parameter_out_of_range", {"nearest": "12"}),
        ("a --n 9", "parameter_out_of_range", {"parameter": "n", "got": "9", "nearest": "4"}),
        ("a --n 0", "parameter_out_of_range", {"nearest": "1"}),
        ("a --seed", "parameter_value_missing", {"parameter": "seed", "example": "--seed 1234"}),
        ("a --ar --n 1", "parameter_value_missing", {"parameter": "ar"}),
        ("a --no ,", "parameter_out_of_range", {"parameter": "no", "got": ","}),
        ("a --ar 3:2 --aspect 1:1", "parameter_twice", {"parameter": "ar", "first": "3:2", "second": "1:1"}),
        ("a --n 1 more words", "text_after_parameters", {"parameter": "n", "got": "more words"}),
        ("a --aspekt 3:2", "parameter_unknown", {"got": "aspekt", "nearest": "aspect"}),
        ("a --sed 3", "parameter_unknown", {"nearest": "seed"}),
        ("a --zzzzz", "parameter_unheard_of", {"got": "zzzzz"}),
        ("a --seed " + "x" * 3900, "parameter_out_of_range", {"got": "x" * 59 + "…"}),
    ],
)
def test_errors_name_what_was_got_and_the_nearest_legal_value(
    typed: str, code: str, values: dict[str, object]
) -> None:
    error = error_of(typed)
    assert error.code == code
    assert values.items() <= error.values.items()


def test_sentences_are_complete() -> None:
    assert say("error.parameter_out_of_range", **error_of("a --ar 0:1").values) == (
        "`--ar 0:1` is not possible: it takes two whole numbers W:H between 1:4 and 4:1."
        " The nearest is `--ar 1:4`."
    )


@given(st.lists(PIECES, max_size=5).map(" ".join))
@example("a --no b,–C, --5 d,---")
@example("a --no==b")
@example("a --no =b")
@example("a --seed 0 --draft")
def test_writing_a_prompt_and_reading_it_gives_the_same_prompt(typed: str) -> None:
    prompt = Prompt("a cat", Parameters())
    with suppress(UserError):
        prompt = parse(typed)
    assert parse(format_prompt(prompt)) == prompt
    prompt.text.encode("utf-8")


@given(st.lists(PIECES, max_size=5).map(" ".join))
def test_every_refusal_has_a_sentence(typed: str) -> None:
    try:
        parse(typed)
    except UserError as error:
        say(f"error.{error.code}", **error.values)


@given(st.sampled_from(PARAMETERS), st.text(max_size=12))
def test_every_nearest_value_is_legal(row: ParameterRow, typed: str) -> None:
    nearest = row.example.partition(" ")[2]
    try:
        row.read(typed)
    except NotAllowedError as error:
        nearest = error.nearest
    assert row.write(row.read(nearest)) == nearest


def test_every_example_is_legal() -> None:
    for row in PARAMETERS:
        assert getattr(parse(f"a cat {row.example}").parameters, row.field)
        assert say(row.help)
        assert say(row.allowed)
