"""JSON as its standard has it. Python reads more, and what it then writes a page's JSON.parse refuses."""

from __future__ import annotations

import json
import math
from typing import Any

MAXIMUM_DEPTH = 64
"""Lists and objects inside each other; Discord's own bodies have about a dozen."""


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError for whatever is no JSON, for numbers that no double holds and for nesting that no reader needs."""
    try:
        value = json.loads(text, parse_constant=_number, parse_float=_number)
    except RecursionError as error:
        raise ValueError("It is nested too deep.") from error
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError("It is nested too deep.")
    return value


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _number(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"{written} is no number of JSON.")
    return value
