"""Every sentence a user reads, by code: `<locale>/<file>.toml`, one table per kind of sentence.

    errors.toml      [error]      what UserError says
    messages.toml    [message]    what stands in messages
    help.toml        [help]       /help;  parameters.toml  [parameter]  one line per --flag
    words.toml       [word]       building blocks: durations and the like

Sentences are rendered at the edge, in the reader's locale; a locale that lacks one falls back to English.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from string import Formatter

DEFAULT_LOCALE = "en"
FOLDER = resources.files(__name__)
"""Where the locales stand, a folder each."""


def say(code: str, locale: str = DEFAULT_LOCALE, /, **values: object) -> str:
    """The sentence `code` ("error.prompt_empty") with its `{placeholders}` filled in.

    `{eta:when}` writes seconds as "in about 40 seconds" (None: "soon"), `{eta:duration}` as "40 seconds", and
    `{n:number}` separates thousands; `{allowed:text}` says the sentence that the value is the code of.

    Raises:
        KeyError: no such code, or a placeholder without a value. Both are mistakes in the program.
    """
    sentences = _sentences(locale)
    sentence = sentences[code] if code in sentences else _sentences(DEFAULT_LOCALE)[code]
    return _SentenceFormatter(locale).vformat(sentence, (), values)


def codes() -> frozenset[str]:
    """Every code that can be said."""
    return frozenset(_sentences(DEFAULT_LOCALE))


class _SentenceFormatter(Formatter):
    """str.format with the formats that sentences need."""

    def __init__(self, locale: str) -> None:
        self._locale = locale

    def format_field(self, value: object, format_spec: str) -> str:
        match format_spec:
            case "when":
                if value is None:
                    return say("word.soon", self._locale)
                return say("word.in_about", self._locale, duration=self._duration(float(str(value))))
            case "duration":
                return (
                    say("word.unknown_time", self._locale)
                    if value is None
                    else self._duration(float(str(value)))
                )
            case "number":
                return f"{value:,}"
            case "text":
                return say(str(value), self._locale)
            case _:
                return str(format(value, format_spec))

    def _duration(self, seconds: float) -> str:
        """Rounded as people say it: "5 seconds", "40 seconds", "3 minutes", "2 hours"."""
        if seconds < 10:
            return self._count("second", "seconds", max(1, round(seconds)))
        if seconds < 57.5:
            return self._count("second", "seconds", 5 * round(seconds / 5))
        if seconds < 3570:
            return self._count("minute", "minutes", max(1, round(seconds / 60)))
        return self._count("hour", "hours", max(1, round(seconds / 3600)))

    def _count(self, one: str, many: str, number: int) -> str:
        return say(f"word.{one if number == 1 else many}", self._locale, number=number)


@cache
def _sentences(locale: str) -> dict[str, str]:
    """All sentences of one locale by code; "en-GB" is served by "en", an unknown locale by nothing."""
    for name in (locale, locale.partition("-")[0]):
        folder = FOLDER / name
        if name.replace("-", "").isalnum() and folder.is_dir():
            found: dict[str, str] = {}
            for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
                if file.name.endswith(".toml"):
                    for table, sentences in tomllib.loads(file.read_text(encoding="utf-8")).items():
                        found |= {f"{table}.{code}": sentence.strip() for code, sentence in sentences.items()}
            return found
    return {}
