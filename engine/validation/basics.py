"""What holds of every request, whatever it asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from engine.errors import RequestRejected
from engine.request import MAX_SEED, Request

MAX_PICTURES = 16
MIN_SHARE_WEIGHT, MAX_SHARE_WEIGHT = 0.001, 1000.0
"""Beyond, one share's service would be beyond counting, or its turn beyond waiting for."""


def check_count(request: Request, of_what: str) -> None:
    if not 1 <= request.count <= MAX_PICTURES:
        reject(
            "pictures_out_of_range",
            f"A request holds 1 to {MAX_PICTURES} {of_what}; this one holds {request.count}.",
            got=request.count,
            maximum=MAX_PICTURES,
        )


def check_seeds(seeds: Iterable[int]) -> None:
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            reject(
                "seed_out_of_range",
                f"The seed {seed} is outside 0 to {MAX_SEED}.",
                got=seed,
                maximum=MAX_SEED,
            )


def check_text(text: str) -> None:
    # Python lets them into strings; no text encoder, file or database takes them.
    if half := next((char for char in text if 0xD800 <= ord(char) <= 0xDFFF), None):
        reject(
            "prompt_not_text",
            f"The prompt holds half a character (U+{ord(half):X}), which is no text. Type it anew.",
            got=f"U+{ord(half):X}",
        )


def check_share(request: Request) -> None:
    if not MIN_SHARE_WEIGHT <= request.share_weight <= MAX_SHARE_WEIGHT:
        reject(
            "share_weight_out_of_range",
            f"A share weight of {request.share_weight} is outside {MIN_SHARE_WEIGHT:g} to {MAX_SHARE_WEIGHT:g}; 1 is usual,"
            " and 2 is served twice as much.",
            got=request.share_weight,
            minimum=MIN_SHARE_WEIGHT,
            maximum=MAX_SHARE_WEIGHT,
        )


def nearest(got: float, low: int, high: int) -> int:
    """Of a number that is none, the low end."""
    return high if got > high else int(got) if got >= low else low


def reject(code: str, sentence: str, **values: object) -> NoReturn:
    raise RequestRejected(code, sentence, **values)
