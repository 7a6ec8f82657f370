"""The pen subjects are drawn with: shapes in the subject's own units onto a colour canvas and its mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from engine.training.scenes.palette import RGB, Tones

Point = tuple[float, float]


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """A closed Catmull-Rom curve through `points`."""
    n = len(points)
    curve = []
    for i in range(n):
        (ax, ay), (bx, by) = points[i - 1], points[i]
        (cx, cy), (dx, dy) = points[(i + 1) % n], points[(i + 2) % n]
        for k in range(steps):
            t = k / steps
            w0, w1 = -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3
            w2, w3 = t + 4 * t**2 - 3 * t**3, -(t**2) + t**3
            curve.append(
                ((w0 * ax + w1 * bx + w2 * cx + w3 * dx) / 2, (w0 * ay + w1 * by + w2 * cy + w3 * dy) / 2)
            )
    return curve


def smooth_open(points: Sequence[Point]) -> list[Point]:
    """A smooth curve through `points` that does not return to its beginning."""
    return smooth([*points, points[-1], points[0]])[: 8 * (len(points) - 1) + 1]


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, steps: int = 20) -> list[Point]:
    """Points of an ellipse from `start` to `end` degrees, counter-clockwise, y upwards."""
    return [
        (cx + rx * math.cos(math.radians(a)), cy + ry * math.sin(math.radians(a)))
        for a in (start + (end - start) * i / steps for i in range(steps + 1))
    ]


class Pen:
    """Draws in units of the subject's height: (0, 0) is the middle of its base, y points up.

    Every shape goes to `canvas` (RGB) in its colour and to `mask` (L), with an outline of `outline` pixels.
    """

    def __init__(
        self,
        size: tuple[int, int],
        at: Point,
        scale: float,
        tilt: float,
        tones: Tones,
        outline: float,
        line: RGB,
    ) -> None:
        self.canvas = Image.new("RGB", size, tones.main)
        self.mask = Image.new("L", size, 0)
        self.tones = tones
        self._at = at
        self._scale = scale
        self._cos, self._sin = math.cos(tilt), math.sin(tilt)
        self._outline = outline
        self._line = line
        self._colour_draw = ImageDraw.Draw(self.canvas)
        self._mask_draw = ImageDraw.Draw(self.mask)

    def _place(self, points: Sequence[Point]) -> list[Point]:
        x0, y0 = self._at
        cos, sin, s = self._cos, self._sin, self._scale
        return [(x0 + (x * cos + y * sin) * s, y0 + (x * sin - y * cos) * s) for x, y in points]

    def shape(self, points: Sequence[Point], colour: RGB, *, outlined: bool = True) -> None:
        placed = self._place(points)
        self._colour_draw.polygon(placed, fill=colour)
        self._mask_draw.polygon(placed, fill=255)
        if outlined and self._outline >= 1:
            ring = [*placed, placed[0], placed[1]]
            self._colour_draw.line(ring, fill=self._line, width=round(self._outline), joint="curve")
            self._mask_draw.line(ring, fill=255, width=round(self._outline), joint="curve")

    def blob(self, points: Sequence[Point], colour: RGB, *, outlined: bool = True) -> None:
        self.shape(smooth(points), colour, outlined=outlined)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, colour: RGB, *, outlined: bool = True
    ) -> None:
        self.shape(arc(cx, cy, rx, ry, 0, 360, 28)[:-1], colour, outlined=outlined)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, *, outlined: bool = True) -> None:
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, outlined=outlined)

    def stroke(self, points: Sequence[Point], width: float, colour: RGB, *, outlined: bool = False) -> None:
        placed = self._place(points)
        pixels = max(1, round(width * self._scale))
        if outlined and self._outline >= 1:
            wide = pixels + round(2 * self._outline)
            self._colour_draw.line(placed, fill=self._line, width=wide, joint="curve")
            self._mask_draw.line(placed, fill=255, width=wide, joint="curve")
        self._colour_draw.line(placed, fill=colour, width=pixels, joint="curve")
        self._mask_draw.line(placed, fill=255, width=pixels, joint="curve")
