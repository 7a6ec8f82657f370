"""What a prompt's text says about weights. Pure, and every text means something: it never raises.

`(word)` weighs 1.1 times as much, `[word]` 1.1 times less, `(word:1.3)` 1.3 times; brackets nest and their weights
multiply. A bracket without its partner is text, and so is any of `()[]:\\` after a backslash. That is the syntax of
AUTOMATIC1111's web UI, save that an open bracket there reaches to the end of the prompt.

`a cat:: a dog::2` is two parts of weight 1 and 2, Midjourney's multi-prompt: what stands before `::` weighs as much as
the number after it says, 1 where none follows. Brackets do not reach across parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WEIGHT = 10.0
"""Weights, and their products where brackets nest, are kept within this and its negative: far outside, every model
paints noise, and products of hundreds would not be numbers any more."""

_BRACKET_FACTOR = 1.1
_TOKEN = re.compile(
    r"""
    \\(?P<escaped>[()\[\]:\\])
    | ::(?:(?P<part>-?(?:\d+(?:\.\d+)?|\.\d+))(?!\w|\.\d))?
    | :\s*(?P<factor>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*\)
    | (?P<bracket>[()\[\]])
    | (?P<text>[^()\[\]:\\]+|[:\\])
    """,
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True)
class Span:
    """Some text, to be read with one weight; 1.0 means as it is."""

    text: str
    weight: float


@dataclass(frozen=True)
class Part:
    """One of a multi-prompt's parts; most prompts have a single one."""

    weight: float
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def parse_prompt(prompt: str) -> tuple[Part, ...]:
    """At least one part. Neighbouring spans differ in weight; parts without text are left out, unless all are."""
    parts: list[Part] = []
    tokens: list[re.Match[str]] = []
    for token in _TOKEN.finditer(prompt):
        if token[0].startswith("::"):
            parts.append(Part(1.0 if token["part"] is None else _kept(float(token["part"])), _spans(tokens)))
            tokens = []
        else:
            tokens.append(token)
    parts.append(Part(1.0, _spans(tokens)))
    return tuple(part for part in parts if part.text.strip()) or (Part(1.0, ()),)


def _spans(tokens: Sequence[re.Match[str]]) -> tuple[Span, ...]:
    partners = _partners(tokens)
    weights = [1.0]
    texts: list[tuple[list[str], float]] = []
    for index, token in enumerate(tokens):
        if index in partners:
            factor = partners[index]
            if factor is None:
                weights.pop()
            else:
                weights.append(_kept(weights[-1] * factor))
            continue
        text = token["escaped"] or token[0]
        if texts and texts[-1][1] == weights[-1]:
            texts[-1][0].append(text)
        else:
            texts.append(([text], weights[-1]))
    return tuple(Span("".join(pieces), weight) for pieces, weight in texts)


def _partners(tokens: Sequence[re.Match[str]]) -> dict[int, float | None]:
    """Tokens that are brackets with a partner: the factor of one that opens, None for one that closes."""
    partners: dict[int, float | None] = {}
    open_ones: list[int] = []
    counts = {"(": 0, "[": 0}
    for index, token in enumerate(tokens):
        if token["bracket"] in counts:
            open_ones.append(index)
            counts[token["bracket"]] += 1
        elif token["factor"] or token["bracket"]:
            opening = "[" if token["bracket"] == "]" else "("
            if not counts[opening]:
                continue
            while True:  # What was opened inside and not closed is text.
                opened = open_ones.pop()
                counts[tokens[opened][0]] -= 1
                if tokens[opened][0] == opening:
                    break
            if token["factor"]:
                partners[opened] = _kept(float(token["factor"]))
            else:
                partners[opened] = _BRACKET_FACTOR if opening == "(" else 1 / _BRACKET_FACTOR
            partners[index] = None
    return partners


def _kept(weight: float) -> float:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, weight))
