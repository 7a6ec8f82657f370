"""The subjects: how each is drawn, how large it is, and what it stands on.

The drawings are one function each, in the pen's units, with a little variety within the kind.
Each subject faces one fixed way (a random flip teaches a small model animals with two tails) and is a handful of
large shapes, because thin details are what an 8× smaller latent loses first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.training.scenes import beasts, buildings, creatures, growing, things, vehicles
from engine.training.scenes.pen import Pen


@dataclass(frozen=True, slots=True)
class Kind:
    """How a subject is drawn and placed: `size` is its full height as a share of the shorter side."""

    draw: Callable[[Pen, np.random.Generator], None]
    size: float
    stance: str  # "ground", "water" or "air"


KINDS: dict[str, Kind] = {
    "sailboat": Kind(vehicles.sailboat, 0.7, "water"),
    "house": Kind(buildings.house, 0.6, "ground"),
    "castle": Kind(buildings.castle, 0.64, "ground"),
    "lighthouse": Kind(buildings.lighthouse, 0.78, "ground"),
    "tree": Kind(growing.tree, 0.7, "ground"),
    "flower": Kind(growing.flower, 0.72, "ground"),
    "mushroom": Kind(growing.mushroom, 0.58, "ground"),
    "cat": Kind(beasts.cat, 0.64, "ground"),
    "fish": Kind(creatures.fish, 0.52, "air"),
    "bird": Kind(creatures.bird, 0.54, "air"),
    "butterfly": Kind(creatures.butterfly, 0.56, "air"),
    "car": Kind(vehicles.car, 0.42, "ground"),
    "rocket": Kind(vehicles.rocket, 0.76, "air"),
    "balloon": Kind(vehicles.balloon, 0.76, "air"),
    "umbrella": Kind(things.umbrella, 0.66, "ground"),
    "teapot": Kind(things.teapot, 0.56, "ground"),
}
