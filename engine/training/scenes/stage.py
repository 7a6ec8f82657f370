"""The canvas of a scene: what its light does to colours, and the layers that are laid on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from engine.training.scenes.light import weathered
from engine.training.scenes.palette import LIGHTS, RGB, Light, mix, tinted


@dataclass(slots=True)
class Layer:
    """A coloured sheet and where it covers; `depth` 1 is the horizon, 0 the nearest ground."""

    image: Image.Image
    mask: Image.Image
    depth: float


@dataclass(slots=True)
class Stage:
    """The canvas of one scene: size in canvas pixels, the light, and where the ground is."""

    size: tuple[int, int]
    time: str
    flat: bool  # cut paper and comics lay colours flat instead of blending them
    rng: np.random.Generator
    horizon: float  # canvas pixels from the top
    base: float  # where a standing subject touches the ground
    weather: str = "clear"
    light: Light = field(init=False)

    def __post_init__(self) -> None:
        self.light = weathered(LIGHTS[self.time], self.weather)

    @property
    def unit(self) -> int:
        return min(self.size)

    def lit(self, colour: RGB, depth: float) -> RGB:
        """A ground colour under this light, paler with distance."""
        return mix(
            tinted(colour, self.light.ground), self.light.haze, self.light.haze_share * (0.15 + 0.85 * depth)
        )

    def sheet(self, top: RGB, bottom: RGB, y0: float, y1: float) -> Image.Image:
        """The whole canvas, blending from `top` at y0 to `bottom` at y1."""
        if self.flat:
            return Image.new("RGB", self.size, mix(top, bottom, 0.4))
        rows = np.clip((np.arange(self.size[1]) - y0) / max(1.0, y1 - y0), 0, 1)[:, None]
        column = np.array(top) * (1 - rows) + np.array(bottom) * rows
        strip = Image.fromarray(column.round().astype(np.uint8)[:, None, :])
        return strip.resize(self.size, Image.Resampling.NEAREST)

    def outline(self, points: Sequence[tuple[float, float]]) -> Image.Image:
        mask = Image.new("L", self.size, 0)
        ImageDraw.Draw(mask).polygon(list(points), fill=255)
        return mask

    def hills(self, y: float, rise: float, waves: float) -> Image.Image:
        """Everything below a rolling line at height `y`, `rise` canvas pixels high."""
        w, h = self.size
        phase, second = self.rng.uniform(0, 2 * math.pi, 2)
        line = []
        for i in range(33):
            t = i / 32
            bump = math.sin(2 * math.pi * waves * t + phase) + 0.4 * math.sin(
                4.6 * math.pi * waves * t + second
            )
            line.append((w * t, y - rise * bump / 1.4))
        return self.outline([(0, h), *line, (w, h)])
