"""The settings: what stands behind and under the subject, as layers from back to front. Four more are in places.py."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

from engine.training.scenes import places
from engine.training.scenes.palette import mix
from engine.training.scenes.stage import Layer, Stage


def sea(stage: Stage) -> list[Layer]:
    w, h = stage.size
    rng, unit = stage.rng, stage.unit
    far = mix(stage.lit((64, 150, 190), 0.6), stage.light.sky[2], 0.3)
    near = stage.lit((14, 84, 142), 0.0)
    image = stage.sheet(far, near, stage.horizon, h)
    draw = ImageDraw.Draw(image)
    crest, shine = mix(far, (255, 255, 255), 0.34), mix(stage.light.sun, far, 0.15)
    sun_x = stage.light.sun_at[0] * w
    depth = h - stage.horizon
    for i in range(9):
        t = (i + 0.6) / 9
        y, thick = stage.horizon + depth * t**1.25, unit * (0.006 + 0.010 * t)
        half = unit * rng.uniform(0.5, 1.0) * (0.03 + 0.05 * t)
        cx = sun_x + rng.uniform(-0.03, 0.03) * unit
        draw.rounded_rectangle((cx - half, y - thick / 2, cx + half, y + thick / 2), thick / 2, fill=shine)
        for _ in range(2 * w // unit + 1):
            cx, half = rng.uniform(0, w), unit * rng.uniform(0.04, 0.1) * (0.5 + t)
            draw.rounded_rectangle(
                (cx - half, y, cx + half, y + thick), thick / 2, fill=mix(crest, near, 0.35 * t)
            )
    return [Layer(image, stage.outline([(0, stage.horizon), (w, stage.horizon), (w, h), (0, h)]), 0.6)]


def meadow(stage: Stage) -> list[Layer]:
    h, unit, rng = stage.size[1], stage.unit, stage.rng
    layers = []
    for depth, colour, y, rise in (
        (0.9, (96, 168, 104), stage.horizon + 0.01 * unit, 0.05),
        (0.5, (112, 186, 72), stage.horizon + 0.07 * unit, 0.04),
        (0.0, (82, 160, 50), stage.horizon + 0.15 * unit, 0.025),
    ):
        tone = stage.lit(colour, depth)
        layers.append(
            Layer(
                stage.sheet(
                    mix(tone, (255, 255, 210), 0.14), mix(tone, (10, 30, 30), 0.15), y - unit * 0.06, h
                ),
                stage.hills(y, rise * unit, rng.uniform(0.7, 1.2)),
                depth,
            )
        )
    draw = ImageDraw.Draw(layers[-1].image)
    for _ in range(22 * stage.size[0] // unit):
        x, y = rng.uniform(0, stage.size[0]), rng.uniform(stage.horizon + 0.17 * unit, h)
        r = unit * 0.012
        colour = stage.lit(((255, 255, 255), (255, 220, 90), (250, 170, 200))[int(rng.integers(3))], 0.0)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return layers


def desert(stage: Stage) -> list[Layer]:
    w = stage.size[0]
    unit, rng = stage.unit, stage.rng
    layers = []
    mesa = stage.lit((196, 112, 78), 0.8)
    x = rng.uniform(0.08, 0.3) * w
    top, foot = stage.horizon - rng.uniform(0.1, 0.14) * unit, stage.horizon + 0.06 * unit
    layers.append(
        Layer(
            stage.sheet(mesa, mix(mesa, (90, 40, 60), 0.3), top, foot),
            stage.outline(
                [
                    (x - 0.2 * unit, foot),
                    (x - 0.13 * unit, top),
                    (x + 0.12 * unit, top),
                    (x + 0.2 * unit, foot),
                ]
            ),
            0.9,
        )
    )
    for depth, colour, y, rise in (
        (0.7, (240, 196, 124), stage.horizon + 0.03 * unit, 0.035),
        (0.4, (232, 174, 96), stage.horizon + 0.1 * unit, 0.045),
        (0.0, (222, 156, 80), stage.horizon + 0.19 * unit, 0.03),
    ):
        tone = stage.lit(colour, depth)
        layers.append(
            Layer(
                stage.sheet(
                    mix(tone, (255, 250, 220), 0.22),
                    mix(tone, (120, 60, 40), 0.14),
                    y - unit * 0.05,
                    y + 0.2 * unit,
                ),
                stage.hills(y, rise * unit, rng.uniform(0.5, 1.0)),
                depth,
            )
        )
    cactus = Image.new("L", stage.size, 0)
    draw = ImageDraw.Draw(cactus)
    x, y, s = rng.uniform(0.84, 0.93) * w, stage.horizon + 0.16 * unit, unit * rng.uniform(0.24, 0.3)
    t = round(s * 0.2)
    draw.line([(x, y), (x, y - s)], fill=255, width=t)
    for side, level in ((-1, 0.4), (1, 0.55)):
        draw.line(
            [
                (x, y - s * level),
                (x + side * s * 0.3, y - s * level),
                (x + side * s * 0.3, y - s * (level + 0.28)),
            ],
            fill=255,
            width=round(t * 0.8),
            joint="curve",
        )
    tone = stage.lit((74, 132, 84), 0.3)
    layers.append(Layer(Image.new("RGB", stage.size, tone), cactus, 0.4))
    return layers


def mountains(stage: Stage) -> list[Layer]:
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    layers = []
    for depth, colour, peak, foot in ((0.85, (104, 122, 164), 0.34, 0.04), (0.45, (78, 92, 128), 0.2, 0.1)):
        tone, snow = stage.lit(colour, depth), stage.lit((250, 252, 255), depth * 0.5)
        base = stage.horizon + foot * unit
        mask = Image.new("L", stage.size, 0)
        image = stage.sheet(mix(tone, (255, 255, 255), 0.1), tone, stage.horizon - peak * unit, base)
        mask_draw, draw = ImageDraw.Draw(mask), ImageDraw.Draw(image)
        x = -rng.uniform(0.0, 0.2) * unit
        while x < w + 0.2 * unit:
            height, half = peak * unit * rng.uniform(0.75, 1.2), unit * rng.uniform(0.26, 0.34)
            top = base - height - 0.05 * unit
            mask_draw.polygon([(x - half, base), (x, top), (x + half, base)], fill=255)
            cap = 0.36 * (base - top)
            slope = half / (base - top)
            draw.polygon(
                [(x - half, base), (x, top), (x + half * 0.15, base)], fill=mix(tone, (255, 255, 255), 0.12)
            )
            draw.polygon(
                [(x, top), (x + half, base), (x + half * 0.15, base)], fill=mix(tone, (10, 10, 50), 0.12)
            )
            zig = [
                (x - cap * slope, top + cap),
                (x - cap * slope * 0.4, top + cap * 0.7),
                (x, top + cap * 1.1),
                (x + cap * slope * 0.45, top + cap * 0.72),
                (x + cap * slope, top + cap),
            ]
            draw.polygon([(x, top - 2), *zig], fill=snow)
            x += half * rng.uniform(1.0, 1.4)
        layers.append(Layer(image, mask, depth))
    near = stage.lit((226, 236, 248), 0.0)
    y = stage.horizon + 0.1 * unit
    layers.append(
        Layer(
            stage.sheet(near, mix(near, stage.lit((120, 150, 200), 0.0), 0.5), y, h),
            stage.hills(y, 0.025 * unit, rng.uniform(0.6, 1.1)),
            0.0,
        )
    )
    return layers


def forest(stage: Stage) -> list[Layer]:
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    layers = []
    for depth, colour, height, foot in ((0.9, (70, 128, 108), 0.5, 0.03), (0.3, (24, 84, 62), 0.4, 0.1)):
        tone = stage.lit(colour, depth)
        base = stage.horizon + foot * unit
        mask = Image.new("L", stage.size, 0)
        draw = ImageDraw.Draw(mask)
        draw.rectangle((0, base - 0.02 * unit, w, h), fill=255)
        x = rng.uniform(-0.1, 0.0) * unit
        while x < w + 0.1 * unit:
            # Firs stand lower in the middle, so that the subject has some sky around it.
            middle = abs(x / w - 0.5) * 2
            tall = height * unit * rng.uniform(0.85, 1.15) * (0.5 + 0.65 * middle)
            half = unit * 0.12
            for k in range(3):
                low, top = base - tall * k * 0.27, base - tall * (0.46 + 0.27 * k)
                draw.polygon(
                    [(x - half * (1 - 0.25 * k), low), (x, top), (x + half * (1 - 0.25 * k), low)], fill=255
                )
            x += unit * rng.uniform(0.12, 0.2)
        layers.append(
            Layer(
                stage.sheet(
                    mix(tone, (200, 240, 200), 0.1),
                    mix(tone, (4, 20, 20), 0.25),
                    base - height * unit,
                    base + 0.05 * unit,
                ),
                mask,
                depth,
            )
        )
    near = stage.lit((70, 108, 50), 0.0)
    y = stage.horizon + 0.11 * unit
    layers.append(
        Layer(
            stage.sheet(near, mix(near, (20, 20, 10), 0.3), y, h),
            stage.hills(y, 0.02 * unit, rng.uniform(0.8, 1.4)),
            0.0,
        )
    )
    return layers


def city(stage: Stage) -> list[Layer]:
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    layers = []
    lamp = (255, 226, 130) if stage.time in ("night", "sunset") else stage.lit((196, 222, 240), 0.0)
    for depth, colour, tall, step in ((0.9, (134, 146, 178), 0.42, 0.17), (0.4, (96, 102, 134), 0.26, 0.2)):
        tone = stage.lit(colour, depth)
        base = stage.horizon + 0.08 * unit
        mask, image = Image.new("L", stage.size, 0), Image.new("RGB", stage.size, tone)
        mask_draw, draw = ImageDraw.Draw(mask), ImageDraw.Draw(image)
        x = -rng.uniform(0, 0.1) * unit
        while x < w:
            wide, height = unit * step * rng.uniform(0.75, 1.1), unit * tall * rng.uniform(0.5, 1.15)
            top = base - height
            mask_draw.rectangle((x, top, x + wide, base), fill=255)
            draw.rectangle((x, top, x + wide, base), fill=mix(tone, (20, 20, 50), rng.uniform(0, 0.25)))
            if depth < 0.5 or stage.time == "night":
                pane = unit * 0.028
                for row in range(int(height / (pane * 2.1))):
                    for column in range(int(wide / (pane * 2.1))):
                        if rng.random() < 0.7:
                            px, py = x + pane * (0.6 + 2.1 * column), top + pane * (0.8 + 2.1 * row)
                            draw.rectangle(
                                (px, py, px + pane, py + pane),
                                fill=lamp if depth < 0.5 else mix(lamp, tone, 0.5),
                            )
            x += wide + unit * rng.uniform(0.0, 0.015)
        layers.append(Layer(image, mask, depth))
    y = stage.horizon + 0.07 * unit
    walk, road = stage.lit((176, 176, 184), 0.0), stage.lit((104, 106, 120), 0.0)
    image = stage.sheet(road, mix(road, (20, 20, 40), 0.25), y, h)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, y, w, y + 0.035 * unit), fill=walk)
    mark_y = stage.base + 0.07 * unit
    for i in range(-1, math.ceil(w / (0.3 * unit)) + 1):
        x = i * 0.3 * unit + rng.uniform(0, 0.02) * unit
        draw.rectangle(
            (x, mark_y, x + 0.15 * unit, mark_y + 0.024 * unit), fill=stage.lit((240, 240, 236), 0.0)
        )
    layers.append(Layer(image, stage.outline([(0, y), (w, y), (w, h), (0, h)]), 0.0))
    return layers


BACKDROPS: dict[str, Callable[[Stage], list[Layer]]] = {
    "sea": sea,
    "meadow": meadow,
    "desert": desert,
    "mountains": mountains,
    "forest": forest,
    "city": city,
    "beach": places.beach,
    "village": places.village,
    "volcano": places.volcano,
    "farm": places.farm,
}
