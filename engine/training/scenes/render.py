"""`render`: one scene, one seed, one size → one picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from engine.training.scenes.backdrop import BACKDROPS
from engine.training.scenes.palette import INK, mix, tones
from engine.training.scenes.pen import Pen
from engine.training.scenes.sky import sky
from engine.training.scenes.spec import SETTINGS, STYLES, SUBJECTS, TIMES, Scene
from engine.training.scenes.stage import Layer, Stage
from engine.training.scenes.styles import MEDIA, Medium, cast_shadow, grown
from engine.training.scenes.subjects import KINDS

SUPERSAMPLING = 2


def render(scene: Scene, seed: int, width: int = 128, height: int = 128) -> npt.NDArray[np.uint8]:
    """The scene as (height, width, 3) RGB. Equal arguments give equal bytes.

    Both sides are multiples of 8. Another seed moves, sizes and varies everything that the scene leaves open.
    """
    return render_with_mask(scene, seed, width, height)[0]


def render_with_mask(
    scene: Scene, seed: int, width: int = 128, height: int = 128
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The picture and the subject's mask, (height, width) 0 to 255."""
    names = (SUBJECTS, SETTINGS, TIMES, STYLES)
    values = (scene.subject, scene.setting, scene.time, scene.style)
    rng = np.random.default_rng([seed, *(group.index(v) for group, v in zip(names, values, strict=True))])
    medium, kind = MEDIA[scene.style], KINDS[scene.subject]
    s = SUPERSAMPLING
    size = (width * s, height * s)
    unit = min(size)
    horizon = size[1] * rng.uniform(0.6, 0.66)
    base = min(size[1] * 0.95, max(horizon + 0.17 * unit, size[1] * rng.uniform(0.83, 0.89)))
    stage = Stage(size, scene.time, medium.flat, rng, horizon, base)

    canvas = Image.new("RGB", size)
    for layer in [*sky(stage), *BACKDROPS[scene.setting](stage)]:
        _lay(canvas, layer, medium, unit)

    scale = kind.size * unit * rng.uniform(0.92, 1.1)
    spread = 0.07 + 0.12 * max(0.0, width / height - 1)
    x = size[0] * (0.5 + rng.uniform(-spread, spread))
    tilt = rng.uniform(-0.05, 0.05) if kind.stance == "ground" else rng.uniform(-0.12, 0.12)
    y = base
    if kind.stance == "air":
        y = size[1] * rng.uniform(0.42, 0.5) + scale / 2
    if kind.stance != "air":
        _ground(canvas, stage, scene, kind.stance, x, scale, medium)
    colour = tones(scene.colour, scene.time)
    line = (INK if scene.colour != "black" else (150, 154, 172)) if medium.ink else colour.contour
    pen = Pen(size, (x, y), scale, tilt, colour, medium.outline * unit / 128, line)
    kind.draw(pen, rng)
    subject = Layer(pen.canvas, pen.mask, 0.0)
    if not medium.flat:
        _model(subject, unit)
    elif medium.shadows:
        rim = grown(pen.mask, unit / 128)
        cast_shadow(canvas, rim, unit * 0.016)
        canvas.paste((252, 248, 240), (0, 0), rim)
    canvas.paste(subject.image, (0, 0), subject.mask)
    if kind.stance == "water":
        _waves(canvas, stage, x, y, scale)

    small = canvas.reduce(s)
    mask = pen.mask.reduce(s)
    picture = np.asarray(small, dtype=np.float32) / 255
    finished = medium.finish(picture, np.asarray(mask, dtype=np.float32) / 255, rng)
    return np.clip(finished * 255 + 0.5, 0, 255).astype(np.uint8), np.asarray(mask)


def _lay(canvas: Image.Image, layer: Layer, medium: Medium, unit: int) -> None:
    if medium.shadows:
        cast_shadow(canvas, layer.mask, unit * 0.012)
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


def _ground(
    canvas: Image.Image, stage: Stage, scene: Scene, stance: str, x: float, scale: float, medium: Medium
) -> None:
    """What the subject stands on: its shadow, an island in the sea, a lake under a boat on land."""
    unit, y = stage.unit, stage.base
    if stance == "water" and scene.setting != "sea":
        far = mix(stage.lit((96, 176, 208), 0.4), stage.light.sky[2], 0.3)
        image = stage.sheet(far, stage.lit((28, 100, 156), 0.0), y - 0.1 * unit, y + 0.14 * unit)
        mask = Image.new("L", stage.size, 0)
        ImageDraw.Draw(mask).ellipse(
            (x - 0.75 * scale, y - 0.1 * unit, x + 0.75 * scale, y + 0.16 * unit), fill=255
        )
        _lay(canvas, Layer(image, mask, 0.0), medium, unit)
    elif stance == "ground" and scene.setting == "sea":
        tone = stage.lit((240, 212, 150), 0.0)
        image = stage.sheet(
            mix(tone, (255, 255, 255), 0.15), mix(tone, (110, 70, 60), 0.3), y - 0.05 * unit, y + 0.1 * unit
        )
        mask = Image.new("L", stage.size, 0)
        wide = 0.46 * unit
        ImageDraw.Draw(mask).ellipse((x - wide, y - 0.055 * unit, x + wide, y + 0.12 * unit), fill=255)
        _lay(canvas, Layer(image, mask, 0.0), medium, unit)
    if stance == "ground":
        shade = Image.new("L", stage.size, 0)
        wide = 0.34 * unit
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
