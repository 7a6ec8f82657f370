"""What users are told of the engine's errors."""

from __future__ import annotations

import pytest

from bot.services.engine_errors import as_user_error
from bot.views.job_text import error_text
from engine import EngineDead, GenerationFailed, RequestRejected

SECRET = "folder/of/the/host/secret.png"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (GenerationFailed("picture_unreadable", SECRET, what="mask"), "cannot be read"),
        (GenerationFailed("mask_empty", SECRET), "black everywhere"),
        (RequestRejected("mask_mismatch", SECRET), "A mask needs a picture"),
        (GenerationFailed("picture_not_finite", SECRET, reason=SECRET), "in full precision"),
        (GenerationFailed("decode_not_finite", SECRET), "could not be developed"),
        (GenerationFailed("heard_of_never", SECRET), "its owner finds the details in the log"),
        (EngineDead("engine_dead", SECRET), "The picture engine has stopped"),
    ],
)
def test_sentences_tell_what_to_do_and_nothing_of_the_host(error: Exception, says: str) -> None:
    sentence = error_text(as_user_error(error))  # type: ignore[arg-type]  # parametrised over every error
    assert says in sentence
    assert "secret" not in sentence


def test_a_refusal_names_what_was_got_the_range_and_the_nearest() -> None:
    refused = RequestRejected(
        "steps_out_of_range", "501 steps are outside 1 to 500. The nearest is 500.", got=501
    )
    assert "501 steps are outside 1 to 500. The nearest is 500." in error_text(as_user_error(refused))
