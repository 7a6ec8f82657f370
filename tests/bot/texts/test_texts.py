"""Sentences by code, their formats and their fall-back."""

from __future__ import annotations

import pytest

from bot.texts import say


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (9, "9 seconds"),
        (42, "40 seconds"),
        (58, "1 minute"),
        (100, "2 minutes"),
        (3600, "1 hour"),
        (7000, "2 hours"),
    ],
)
def test_durations_are_rounded_as_people_say_them(seconds: float, words: str) -> None:
    assert f"Try again in about {words}." in say("error.queue_full", got=2, maximum=2, eta=seconds)


def test_an_unknown_time_is_soon() -> None:
    assert "Try again soon." in say("error.queue_full", got=2, maximum=2, eta=None)


def test_an_unknown_locale_falls_back_to_english() -> None:
    assert say("error.job_gone", "xx-YY") == say("error.job_gone") == say("error.job_gone", "en-GB")
    assert say("error.job_gone", "../en") == say("error.job_gone")


def test_an_unknown_code_and_a_missing_value_are_mistakes_in_the_program() -> None:
    with pytest.raises(KeyError):
        say("error.no_such_code")
    with pytest.raises(KeyError):
        say("error.parameter_unknown")


def test_values_are_not_read_as_templates() -> None:
    assert "{seed}" in say("error.parameter_unheard_of", got="{seed}", allowed="--n")
