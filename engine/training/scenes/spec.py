"""What a scene is made of: five attributes, every combination of them, and which are held out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np

SUBJECTS = (
    "sailboat",
    "house",
    "castle",
    "lighthouse",
    "tree",
    "flower",
    "mushroom",
    "cat",
    "fish",
    "bird",
    "butterfly",
    "car",
    "rocket",
    "balloon",
    "umbrella",
    "teapot",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
SETTINGS = ("sea", "meadow", "desert", "mountains", "forest", "city")
TIMES = ("dawn", "day", "sunset", "night")
STYLES = ("watercolor", "oil", "pixel", "comic", "paper")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "setting": SETTINGS,
    "time": TIMES,
    "style": STYLES,
}

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """One combination of the five attributes; what is drawn and what a caption says."""

    subject: str
    colour: str
    setting: str
    time: str
    style: str

    @property
    def labels(self) -> tuple[int, ...]:
        """Class indices in the order of ATTRIBUTES."""
        return tuple(values.index(v) for values, v in zip(ATTRIBUTES.values(), astuple(self), strict=True))

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept out of every training set.

        The split hangs on a hash of the names alone, so that no seed, profile or order of work can move it.
        """
        digest = hashlib.sha256("/".join(astuple(self)).encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def every_scene() -> Iterator[Scene]:
    for values in itertools.product(*ATTRIBUTES.values()):
        yield Scene(*values)


@lru_cache(maxsize=2)
def split(held_out: bool) -> tuple[Scene, ...]:
    """All scenes on one side of the split, in a fixed order."""
    return tuple(scene for scene in every_scene() if scene.held_out is held_out)


def draw_scenes(count: int, seed: int, *, held_out: bool) -> list[Scene]:
    """`count` scenes from one side of the split; none comes twice before all came once."""
    rng = np.random.default_rng(seed)
    pool = split(held_out)
    rounds = [rng.permutation(len(pool)) for _ in range(-(-count // len(pool)))]
    return [pool[i] for i in np.concatenate(rounds)[:count]] if count else []
