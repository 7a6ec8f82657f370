"""The subjects: how each is drawn, how large it is, and what it stands on.

The drawings are one function each, in the pen's units, with a little variety within the kind.
Each subject faces one fixed way (a random flip teaches a small model animals with two tails) and is a handful of
large shapes, because thin details are what an 8× smaller latent loses first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.training.scenes import beasts, buildings, creatures, growing, small, things, vehicles
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
    "dog": Kind(beasts.dog, 0.6, "ground"),
    "rabbit": Kind(beasts.rabbit, 0.64, "ground"),
    "fox": Kind(beasts.fox, 0.58, "ground"),
    "bear": Kind(beasts.bear, 0.62, "ground"),
    "horse": Kind(beasts.horse, 0.66, "ground"),
    "elephant": Kind(beasts.elephant, 0.56, "ground"),
    "dragon": Kind(beasts.dragon, 0.62, "ground"),
    "owl": Kind(small.owl, 0.6, "ground"),
    "penguin": Kind(small.penguin, 0.64, "ground"),
    "duck": Kind(small.duck, 0.52, "water"),
    "turtle": Kind(small.turtle, 0.5, "ground"),
    "snail": Kind(small.snail, 0.54, "ground"),
    "whale": Kind(small.whale, 0.5, "water"),
    "frog": Kind(small.frog, 0.52, "ground"),
    "octopus": Kind(small.octopus, 0.6, "ground"),
    "crab": Kind(small.crab, 0.5, "ground"),
    "ladybug": Kind(small.ladybug, 0.58, "ground"),
    "cactus": Kind(growing.cactus, 0.68, "ground"),
    "pumpkin": Kind(growing.pumpkin, 0.52, "ground"),
    "apple": Kind(growing.apple, 0.56, "ground"),
    "windmill": Kind(buildings.windmill, 0.72, "ground"),
    "tent": Kind(buildings.tent, 0.52, "ground"),
    "train": Kind(vehicles.train, 0.48, "ground"),
    "bus": Kind(vehicles.bus, 0.56, "ground"),
    "airplane": Kind(vehicles.airplane, 0.46, "air"),
    "robot": Kind(things.robot, 0.66, "ground"),
    "guitar": Kind(things.guitar, 0.76, "ground"),
    "clock": Kind(things.clock, 0.6, "ground"),
    "chair": Kind(things.chair, 0.58, "ground"),
    "cup": Kind(things.cup, 0.52, "ground"),
    "crown": Kind(things.crown, 0.46, "ground"),
    "bell": Kind(things.bell, 0.6, "ground"),
    "kite": Kind(things.kite, 0.66, "air"),
    "gift": Kind(things.gift, 0.54, "ground"),
}
# Those that may stand above another.
FLYING = tuple(name for name, kind in KINDS.items() if kind.stance == "air")
