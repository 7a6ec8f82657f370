"""What a user typed → Prompt, and back."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from bot.domain import Parameters
from bot.errors import UserError
from bot.prompting.parameters import PARAMETERS, NotAllowedError, ParameterRow

MAX_PROMPT_CHARACTERS = 4000
"""Of the whole text, flags included."""

_MAX_QUOTED = 60
"""Characters of what was typed that an error repeats: a message on Discord holds 2,000 in all."""
_ROWS = {name: row for row in PARAMETERS for name in (row.name, *row.aliases)}
# Two or more hyphens, or any dash: phones turn "--" into one. It counts only right before a letter and
# after a space, so that "a cat — asleep" and "red–blue" stay text.
_FLAG = re.compile(r"(?:(?<=\s)|^)(?:--|[–—])[-–—]*(?P<name>[^\W\d_][\w-]*)")


@dataclass(frozen=True)
class Prompt:
    """The words to paint, and what the flags said."""

    text: str
    parameters: Parameters


def parse(typed: str) -> Prompt:
    """Read a prompt with its flags at the end.

    Raises:
        UserError: with the parameter, what was got, what is allowed and the nearest legal value.
    """
    if len(typed) > MAX_PROMPT_CHARACTERS:
        over = len(typed) - MAX_PROMPT_CHARACTERS
        raise UserError("prompt_too_long", got=len(typed), maximum=MAX_PROMPT_CHARACTERS, over=over)
    # Lone surrogates cannot be stored, and other control characters mean nothing to a text encoder.
    cleaned = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cs") and char != "\n" else char for char in typed
    )
    flags = list(_FLAG.finditer(cleaned))
    text = cleaned[: flags[0].start() if flags else None].strip()
    fields: dict[str, Any] = {}
    ends = [flag.start() for flag in flags[1:]] + [len(cleaned)]
    for flag, end in zip(flags, ends, strict=False):
        row = _row(flag["name"])
        # "--ar=3:2" is what people who live in terminals type.
        value = _read(row, cleaned[flag.end() : end].removeprefix("=").strip())
        if row.field in fields:
            if row.merge:
                value = row.merge(fields[row.field], value)
            elif value != fields[row.field]:
                first, second = row.write(fields[row.field]), row.write(value)
                raise UserError("parameter_twice", parameter=row.name, first=first, second=second)
        fields[row.field] = value
    if not text:
        raise UserError("prompt_empty")
    return Prompt(text, Parameters(**fields))


def format_prompt(prompt: Prompt) -> str:
    """The text with its flags in the table's order; `parse` gives the same prompt again."""
    return " ".join([prompt.text, *format_parameters(prompt.parameters)])


def format_parameters(parameters: Parameters) -> list[str]:
    """Each given parameter as it is typed: ["--ar 3:2", "--no text, frames"]."""
    values = ((row, getattr(parameters, row.field)) for row in PARAMETERS)
    # A seed of 0 is given, and yet equals False.
    given = (
        (row, value) for row, value in values if value is not None and value is not False and value != ()
    )
    return [f"--{row.name} {row.write(value)}".rstrip() for row, value in given]


def _row(name: str) -> ParameterRow:
    row = _ROWS.get(name.lower())
    if row is None:
        allowed = ", ".join(f"`--{known.name}`" for known in PARAMETERS)
        nearest = difflib.get_close_matches(name.lower(), _ROWS, n=1, cutoff=0.4)
        if nearest:
            raise UserError("parameter_unknown", got=_quoted(name), nearest=nearest[0], allowed=allowed)
        raise UserError("parameter_unheard_of", got=_quoted(name), allowed=allowed)
    return row


def _read(row: ParameterRow, typed: str) -> Any:
    if row.bare:
        if typed:
            raise UserError("text_after_parameters", parameter=row.name, got=_quoted(typed))
        return row.read("")
    if not typed:
        raise UserError(
            "parameter_value_missing", parameter=row.name, allowed=row.allowed, example=row.example
        )
    word, _, rest = (typed, "", "") if row.many_words else (typed.split()[0], "", " ".join(typed.split()[1:]))
    try:
        value = row.read(word)
    except NotAllowedError as error:
        raise UserError(
            "parameter_out_of_range",
            parameter=row.name,
            got=_quoted(word),
            allowed=row.allowed,
            nearest=error.nearest,
        ) from None
    if rest:
        raise UserError("text_after_parameters", parameter=row.name, got=_quoted(rest))
    return value


def _quoted(typed: str) -> str:
    return typed if len(typed) <= _MAX_QUOTED else typed[: _MAX_QUOTED - 1] + "…"
