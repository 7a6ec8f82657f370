"""What a scene is made of, and which scenes, and which pairs of subject and colour, no training ever sees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np

SUBJECTS = (
    *("sailboat", "house", "castle", "lighthouse", "tree", "flower", "mushroom", "cat", "fish", "bird"),
    *("butterfly", "car", "rocket", "balloon", "umbrella", "teapot", "dog", "rabbit", "fox", "bear"),
    *("horse", "elephant", "dragon", "owl", "penguin", "duck", "turtle", "snail", "whale", "frog"),
    *("octopus", "crab", "ladybug", "cactus", "pumpkin", "apple", "windmill", "tent", "train", "bus"),
    *("airplane", "robot", "guitar", "clock", "chair", "cup", "crown", "bell", "kite", "gift"),
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
SETTINGS = ("sea", "meadow", "desert", "mountains", "forest", "city", "beach", "village", "volcano", "farm")
TIMES = ("dawn", "day", "sunset", "night")
WEATHERS = ("clear", "cloudy", "rain", "snow", "fog", "storm", "rainbow")
STYLES = ("watercolor", "oil", "pixel", "comic", "paper", "pencil", "glass", "points", "woodcut", "flat")
ARRANGEMENTS = ("row", "column")

# One attribute of the picture as a whole, or of its only subject.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "setting": SETTINGS,
    "time": TIMES,
    "weather": WEATHERS,
    "style": STYLES,
}
PLACES = 3
NOTHING = "nothing"

HELD_OUT_SHARE = 0.1
UNSEEN_PAIR_SHARE = 0.06
# Most pictures show one subject, as most prompts do; the harder ones get more of the rest.
COUNT_SHARES = (0.46, 0.34, 0.2)
COLUMN_SHARE = 0.25
TWIN_SHARE = 0.12
CLEAR_SHARE = 0.4


class Side(Enum):
    """Which scenes: those that training sees, held-out ones, or ones with a pair of subject and colour never seen."""

    TRAIN = "train"
    HELD_OUT = "held-out"
    UNSEEN_PAIR = "unseen-pair"


@dataclass(frozen=True, slots=True)
class Figure:
    """One subject in its colour."""

    subject: str
    colour: str

    @property
    def unseen(self) -> bool:
        """Whether no training picture shows this subject in this colour."""
        return _share("pair", self.subject, self.colour) < UNSEEN_PAIR_SHARE


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn and what a caption says: one to three figures from left to right, or two, one above the other."""

    figures: tuple[Figure, ...]
    setting: str
    time: str
    weather: str
    style: str
    arrangement: str = "row"

    @classmethod
    def of(
        cls, subject: str, colour: str, setting: str, time: str, style: str, weather: str = "clear"
    ) -> Scene:
        """A scene of one subject."""
        return cls((Figure(subject, colour),), setting, time, weather, style)

    @property
    def side(self) -> Side:
        """Hangs on a hash of the names alone, so that no seed, profile or order of work can move it."""
        if any(figure.unseen for figure in self.figures):
            return Side.UNSEEN_PAIR
        names = [name for figure in self.figures for name in (figure.subject, figure.colour)]
        mark = _share(*names, self.setting, self.time, self.weather, self.style, self.arrangement)
        return Side.HELD_OUT if mark < HELD_OUT_SHARE else Side.TRAIN


def _share(*names: str) -> float:
    """A number from 0 up to 1 that the names alone decide."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "big") / 2**32


@lru_cache(maxsize=1)
def unseen_pairs() -> tuple[Figure, ...]:
    every = (Figure(subject, colour) for subject in SUBJECTS for colour in COLOURS)
    return tuple(figure for figure in every if figure.unseen)


def draw_scenes(
    count: int, seed: int, side: Side, *, shares: Sequence[float] = COUNT_SHARES, flying: Sequence[str] = ()
) -> list[Scene]:
    """`count` scenes of one side; `shares` say how many have one, two and three figures.

    `flying` are the subjects that may stand above another; without any, all figures stand in a row.
    """
    rng = np.random.default_rng(seed)
    found: list[Scene] = []
    while len(found) < count:
        scene = _draw(rng, shares, flying, unseen=side is Side.UNSEEN_PAIR)
        if scene.side is side:
            found.append(scene)
    return found


def _draw(rng: np.random.Generator, shares: Sequence[float], flying: Sequence[str], *, unseen: bool) -> Scene:
    count = 1 + int(rng.choice(PLACES, p=np.array(shares) / sum(shares)))
    figures = [Figure(_one(rng, SUBJECTS), _one(rng, COLOURS)) for _ in range(count)]
    arrangement = "row"
    if count > 1 and rng.random() < TWIN_SHARE:
        figures = [figures[0]] * count
    elif count == 2 and flying and rng.random() < COLUMN_SHARE:
        arrangement = "column"
        figures[0] = Figure(_one(rng, flying), figures[0].colour)
    if unseen:
        pairs = unseen_pairs()
        # What stands above has to fly, so the pair goes below.
        which = 1 if arrangement == "column" else int(rng.integers(count))
        figures[which] = pairs[int(rng.integers(len(pairs)))]
    weather = "clear" if rng.random() < CLEAR_SHARE else _one(rng, WEATHERS[1:])
    return Scene(
        tuple(figures), _one(rng, SETTINGS), _one(rng, TIMES), weather, _one(rng, STYLES), arrangement
    )


def _one(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]
