"""What there is to be read off a picture, as numbers: one head for each question, one label for each answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.training.scenes.spec import (
    ARRANGEMENTS,
    COLOURS,
    NOTHING,
    PLACES,
    SETTINGS,
    STYLES,
    SUBJECTS,
    TIMES,
    WEATHERS,
    Scene,
)

# Figures are read place by place: from left to right in a row, from top to bottom in a column.
HEADS: dict[str, tuple[str, ...]] = {
    **{f"subject_{place}": (*SUBJECTS, NOTHING) for place in range(PLACES)},
    **{f"colour_{place}": (*COLOURS, NOTHING) for place in range(PLACES)},
    "arrangement": ARRANGEMENTS,
    "setting": SETTINGS,
    "time": TIMES,
    "weather": WEATHERS,
    "style": STYLES,
}
_NUMBERS = {name: {value: i for i, value in enumerate(values)} for name, values in HEADS.items()}


def labels(scene: Scene) -> tuple[int, ...]:
    """A class index per head, in the order of HEADS."""
    found = {"arrangement": scene.arrangement, "setting": scene.setting, "time": scene.time}
    found |= {"weather": scene.weather, "style": scene.style}
    for place in range(PLACES):
        figure = scene.figures[place] if place < len(scene.figures) else None
        found[f"subject_{place}"] = figure.subject if figure else NOTHING
        found[f"colour_{place}"] = figure.colour if figure else NOTHING
    return tuple(_NUMBERS[name][found[name]] for name in HEADS)


def labels_of(scenes: Sequence[Scene]) -> npt.NDArray[np.int64]:
    """(n, heads)."""
    return np.array([labels(scene) for scene in scenes], dtype=np.int64).reshape(len(scenes), len(HEADS))
