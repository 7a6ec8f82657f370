"""What users are told of the engine's errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.services.engine_errors import as_user_error
from bot.views.job_text import error_text
from engine import EngineDead, EngineError, GenerationFailed, ModelUnavailable, RequestRejected
from engine.worker.file_cache import KINDS

ENGINE = Path(__file__).parents[3] / "engine"
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


def codes() -> set[str]:
    """Of every error that the engine's own code raises, but for refusals, which are told in the engine's words."""
    found = set()
    for file in ENGINE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in (
                EngineDead.__name__,
                GenerationFailed.__name__,
                ModelUnavailable.__name__,
            ):
                continue
            match node.args[0]:
                case ast.Constant(str(code)):
                    found.add(code)
                case ast.JoinedStr([ast.FormattedValue(ast.Name("kind")), ast.Constant(str(end))]):
                    found |= {kind + end for kind in KINDS}
                case handed_on:
                    assert ast.unparse(handed_on).split(".")[-1] == "code", file
    return found


def test_every_code_has_a_sentence_that_says_more_than_that_it_failed() -> None:
    said = {code: error_text(as_user_error(EngineError(code, SECRET))) for code in codes()}
    assert {"model_config_mismatch", "adapter_missing", "out_of_memory", "engine_dead"} <= said.keys()
    nothing_more = error_text(UserError("internal_error"))
    # What nobody foresaw has no more to say; of a closed engine nobody is told.
    assert {code for code, sentence in said.items() if sentence == nothing_more} == {
        "generation_failed",
        "engine_closed",
    }


def test_the_host_reads_in_the_log_what_a_user_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    error = GenerationFailed("model_config_mismatch", f"Point FOURFOLD_MODEL_CONFIG at {SECRET}.")
    assert "configuration of another model" in error_text(as_user_error(error))
    assert f"Point FOURFOLD_MODEL_CONFIG at {SECRET}. (model_config_mismatch)" in caplog.text
