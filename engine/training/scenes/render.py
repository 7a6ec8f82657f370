"""`render`: one scene, one seed, one size → one picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from engine.training.scenes import weather
from engine.training.scenes.backdrop import BACKDROPS
from engine.training.scenes.layout import Placed, place
from engine.training.scenes.palette import INK, mix, tones
from engine.training.scenes.pen import Pen
from engine.training.scenes.sky import sky
from engine.training.scenes.spec import ARRANGEMENTS, SETTINGS, STYLES, SUBJECTS, TIMES, WEATHERS, Scene
from engine.training.scenes.stage import Layer, Stage
from engine.training.scenes.styles import MEDIA, Medium, cast_shadow, grown

SUPERSAMPLING = 2


def render(scene: Scene, seed: int, width: int = 128, height: int = 128) -> npt.NDArray[np.uint8]:
    """The scene as (height, width, 3) RGB. Equal arguments give equal bytes.

    Both sides are multiples of 8. Another seed moves, sizes and varies everything that the scene leaves open.
    """
    return render_with_mask(scene, seed, width, height)[0]


def render_with_mask(
    scene: Scene, seed: int, width: int = 128, height: int = 128
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The picture and its figures' mask, (height, width) 0 to 255."""
    rng = np.random.default_rng([seed, *_numbers(scene)])
    medium = MEDIA[scene.style]
    size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    unit = min(size)
    horizon = size[1] * rng.uniform(0.6, 0.66)
    base = min(size[1] * 0.95, max(horizon + 0.17 * unit, size[1] * rng.uniform(0.83, 0.89)))
    stage = Stage(size, scene.time, medium.flat, rng, horizon, base, scene.weather)

    canvas, figures = Image.new("RGB", size), Image.new("L", size, 0)
    for layer in (
        *sky(stage),
        *weather.behind(stage),
        *BACKDROPS[scene.setting](stage),
        *weather.around(stage),
    ):
        _lay(canvas, layer, medium, unit)
    for placed in place(scene, stage):
        _ground(canvas, stage, scene, placed, medium)
        mask = _figure(canvas, stage, scene, placed, medium)
        figures = ImageChops.lighter(figures, mask)
        if placed.kind.stance == "water":
            _waves(canvas, stage, placed.x, placed.y, placed.scale)

    for layer in weather.in_front(stage):
        canvas.paste(layer.image, (0, 0), layer.mask)
    small, mask = canvas.reduce(SUPERSAMPLING), figures.reduce(SUPERSAMPLING)
    picture = np.asarray(small, dtype=np.float32) / 255
    finished = medium.finish(picture, np.asarray(mask, dtype=np.float32) / 255, rng)
    return np.clip(finished * 255 + 0.5, 0, 255).astype(np.uint8), np.asarray(mask)


def _numbers(scene: Scene) -> list[int]:
    """What tells this scene from others to a generator of random numbers; colours are left out, so that the same seed
    draws the same picture in another colour.
    """
    names = (SETTINGS, TIMES, WEATHERS, STYLES, ARRANGEMENTS)
    values = (scene.setting, scene.time, scene.weather, scene.style, scene.arrangement)
    whole = [group.index(value) for group, value in zip(names, values, strict=True)]
    return [*whole, *(SUBJECTS.index(figure.subject) for figure in scene.figures)]


def _figure(canvas: Image.Image, stage: Stage, scene: Scene, placed: Placed, medium: Medium) -> Image.Image:
    """Draw one figure; returns its mask."""
    unit, black = stage.unit, placed.figure.colour == "black"
    colour = tones(placed.figure.colour, scene.time)
    line = (INK if not black else (150, 154, 172)) if medium.ink else colour.contour
    # Smaller figures get finer contours, or these would fill them.
    outline = medium.outline * unit / 128 * (1.0 if len(scene.figures) == 1 else 0.75)
    pen = Pen(stage.size, (placed.x, placed.y), placed.scale, placed.tilt, colour, outline, line)
    placed.kind.draw(pen, stage.rng)
    subject = Layer(pen.canvas, pen.mask, 0.0)
    if not medium.flat:
        _model(subject, unit)
    elif medium.shadows:
        rim = grown(pen.mask, unit / 64)
        cast_shadow(canvas, rim, unit * 0.03)
        canvas.paste((252, 248, 240), (0, 0), rim)
    canvas.paste(subject.image, (0, 0), subject.mask)
    return pen.mask


def _lay(canvas: Image.Image, layer: Layer, medium: Medium, unit: int) -> None:
    if medium.shadows:
        cast_shadow(canvas, layer.mask, unit * 0.024)
    if medium.ink:
        canvas.paste(INK, (0, 0), grown(layer.mask, unit / 150))
    canvas.paste(layer.image, (0, 0), layer.mask)


def _model(subject: Layer, unit: int) -> None:
    """Give the flat subject volume: light from the upper left, shade towards the lower right."""
    soft = subject.mask.reduce(4).filter(ImageFilter.BoxBlur(unit / 44))
    shift = max(1, unit // 52)
    lit = np.asarray(ImageChops.offset(soft, -shift, -shift), dtype=np.float32)
    dim = np.asarray(ImageChops.offset(soft, shift, shift), dtype=np.float32)
    relief = Image.fromarray(np.clip(128 + (dim - lit) * 0.42, 0, 255).astype(np.uint8)).resize(
        subject.mask.size, Image.Resampling.BILINEAR
    )
    bright = relief.point([max(0, v - 128) for v in range(256)])
    dark = relief.point([max(0, 128 - v) for v in range(256)])
    subject.image.paste((255, 252, 240), (0, 0), bright)
    subject.image.paste((24, 14, 48), (0, 0), dark)


def _ground(canvas: Image.Image, stage: Stage, scene: Scene, placed: Placed, medium: Medium) -> None:
    """What the figure stands on: its shadow, an island in the sea, a lake under a boat on land."""
    unit, stance = stage.unit, placed.kind.stance
    x, y, scale = placed.x, placed.y, placed.scale
    mask = Image.new("L", stage.size, 0)
    draw = ImageDraw.Draw(mask)
    if stance == "water" and scene.setting != "sea":
        far = mix(stage.lit((96, 176, 208), 0.4), stage.light.sky[2], 0.3)
        image = stage.sheet(far, stage.lit((28, 100, 156), 0.0), y - 0.1 * unit, y + 0.14 * unit)
        wide = min(0.75 * scale, 0.6 * placed.room)
        draw.ellipse((x - wide, y - 0.1 * unit, x + wide, y + 0.16 * unit), fill=255)
        _lay(canvas, Layer(image, mask, 0.0), medium, unit)
    elif stance == "ground" and scene.setting == "sea":
        tone = stage.lit((240, 212, 150), 0.0)
        image = stage.sheet(
            mix(tone, (255, 255, 255), 0.15), mix(tone, (110, 70, 60), 0.3), y - 0.05 * unit, y + 0.1 * unit
        )
        wide = 0.5 * placed.room
        draw.ellipse((x - wide, y - 0.055 * unit, x + wide, y + 0.12 * unit), fill=255)
        _lay(canvas, Layer(image, mask, 0.0), medium, unit)
    if stance == "ground":
        shade = Image.new("L", stage.size, 0)
        wide = min(0.34 * unit, 0.5 * placed.width)
        ImageDraw.Draw(shade).ellipse(
            (x - wide * 0.9, y - 0.02 * unit, x + wide * 1.15, y + 0.045 * unit), fill=96
        )
        canvas.paste((16, 14, 40), (0, 0), shade)


def _waves(canvas: Image.Image, stage: Stage, x: float, y: float, scale: float) -> None:
    """A little foam over the hull's foot, so that the boat lies in the water."""
    draw = ImageDraw.Draw(canvas)
    foam = mix(stage.lit((220, 240, 250), 0.0), (255, 255, 255), 0.2)
    thick = 0.018 * stage.unit
    for dx, dy, half in (
        (-0.2, -0.01, 0.26),
        (0.2, 0.01, 0.28),
        (0.0, 0.06, 0.22),
        (-0.34, 0.1, 0.14),
        (0.3, 0.11, 0.16),
    ):
        cx, cy = x + dx * scale, y + dy * scale
        draw.rounded_rectangle(
            (cx - half * scale, cy - thick / 2, cx + half * scale, cy + thick / 2), thick / 2, fill=foam
        )
