"""The one table of `--flags`. Parser, help and error messages are all driven by it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bot.prompting.versions import VERSIONS
from engine.request import MAX_SEED

MAX_PICTURES = 4
"""Cells of a grid."""
_MAX_RATIO = Fraction(4)
_MAX_ASPECT_PART = 9999


class NotAllowedError(ValueError):
    """A value outside the flag's range; `nearest` is the closest one inside, as it would be typed."""

    def __init__(self, nearest: str) -> None:
        super().__init__(nearest)
        self.nearest = nearest


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """One `--flag`. `read` makes typed text the value or raises NotAllowedError; `write` is its inverse."""

    name: str
    """The flag without its dashes."""
    aliases: tuple[str, ...] = ()
    field: str
    """The field of `Parameters`."""
    value: str
    """What stands for the value in help: W:H, N."""
    default: str
    example: str
    allowed: str
    """The text code that says which values are allowed."""
    help: str
    """The text code of the help line."""
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    many_words: bool = False
    """The value reaches up to the next flag; otherwise it is one word."""
    bare: bool = False
    """It takes no value: that it stands there says all."""
    merge: Callable[[Any, Any], Any] | None = None
    """Joins two occurrences; None: a second one with another value is refused."""


def _read_aspect(typed: str) -> tuple[int, int]:
    whole = re.fullmatch(r"(\d{1,4}):(\d{1,4})", typed)
    if whole:
        width, height = int(whole[1]), int(whole[2])
        if width and height and 1 / _MAX_RATIO <= Fraction(width, height) <= _MAX_RATIO:
            return width, height
    parts = re.fullmatch(r"(\d{0,9}\.?\d{0,9})\s*[:/x×]\s*(\d{0,9}\.?\d{0,9})", typed, re.IGNORECASE)
    try:
        width_part, height_part = (
            (Fraction(parts[1]), Fraction(parts[2])) if parts else (Fraction(1), Fraction(1))
        )
    except ValueError:  # a lone point or nothing beside the colon
        raise NotAllowedError("1:1") from None
    ratio = width_part / height_part if height_part else _MAX_RATIO
    nearest = min(max(ratio, 1 / _MAX_RATIO), _MAX_RATIO).limit_denominator(50)
    raise NotAllowedError(f"{nearest.numerator}:{nearest.denominator}")


def _whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(typed: str) -> int:
        # Phones turn the minus into a dash; the number is refused either way, but as the one that was meant.
        number = re.match(r"[-–—−]?\d+", typed)
        if number is None:
            raise NotAllowedError(str(minimum))
        value = int(re.sub(r"^[–—−]", "-", number[0]))
        nearest = min(max(value, minimum), maximum)
        if nearest != value or number[0] != typed:
            raise NotAllowedError(str(nearest))
        return value

    return read


def _read_version(typed: str) -> str:
    version = typed.lower()
    if version not in VERSIONS:
        raise NotAllowedError(difflib.get_close_matches(version, VERSIONS, n=1, cutoff=0)[0])
    return version


def _read_nothing(typed: str) -> bool:
    if typed:
        raise NotAllowedError("")
    return True


def _read_things(typed: str) -> tuple[str, ...]:
    # A thing that begins with dashes would be a flag when it is written after a space.
    bare = (re.sub(r"^[-–—]+(?=[^\W\d_])", "", " ".join(thing.split())) for thing in typed.split(","))
    things = tuple(dict.fromkeys(thing for thing in bare if thing))
    if not things:
        raise NotAllowedError("text, frames")
    return things


PARAMETERS: tuple[ParameterRow, ...] = (
    ParameterRow(
        name="ar",
        aliases=("aspect",),
        field="aspect",
        value="W:H",
        default="1:1",
        example="--ar 3:2",
        allowed="parameter.aspect_allowed",
        help="parameter.aspect_help",
        read=_read_aspect,
        write=lambda aspect: f"{aspect[0]}:{aspect[1]}",
    ),
    ParameterRow(
        name="seed",
        field="seed",
        value="N",
        default="random",
        example="--seed 1234",
        allowed="parameter.seed_allowed",
        help="parameter.seed_help",
        read=_whole_number(0, MAX_SEED),
        write=str,
    ),
    ParameterRow(
        name="no",
        field="no",
        value="a, b",
        default="nothing",
        example="--no text, frames",
        allowed="parameter.no_allowed",
        help="parameter.no_help",
        read=_read_things,
        write=", ".join,
        many_words=True,
        merge=lambda first, second: tuple(dict.fromkeys(first + second)),
    ),
    ParameterRow(
        name="n",
        field="n",
        value="N",
        default="4",
        example="--n 1",
        allowed="parameter.n_allowed",
        help="parameter.n_help",
        read=_whole_number(1, MAX_PICTURES),
        write=str,
    ),
    ParameterRow(
        name="v",
        aliases=("version",),
        field="version",
        value="NAME",
        default="the first model configured",
        example="--v unclip",
        allowed="parameter.version_allowed",
        help="parameter.version_help",
        read=_read_version,
        write=str,
    ),
    ParameterRow(
        name="draft",
        aliases=("turbo",),
        field="draft",
        value="",
        default="off",
        example="--draft",
        allowed="parameter.draft_allowed",
        help="parameter.draft_help",
        read=_read_nothing,
        write=lambda _draft: "",
        bare=True,
    ),
    ParameterRow(
        name="best",
        field="best",
        value="",
        default="off",
        example="--best",
        allowed="parameter.draft_allowed",
        help="parameter.best_help",
        read=_read_nothing,
        write=lambda _best: "",
        bare=True,
    ),
)
"""Every parameter, in the order in which they are written and explained."""
