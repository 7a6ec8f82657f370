"""The weather: what it brings behind the figures and what falls in front of them; light.py has what it does to light."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFilter

from engine.training.scenes.light import AIRS
from engine.training.scenes.palette import RGB, mix
from engine.training.scenes.stage import Layer, Stage

RAINBOW: tuple[RGB, ...] = (
    *((236, 64, 64), (250, 150, 50), (252, 226, 80)),
    *((96, 200, 96), (70, 140, 240), (140, 80, 200)),
)
CLOUDS = {"dawn": (232, 214, 226), "day": (236, 240, 246), "sunset": (196, 112, 118), "night": (62, 74, 116)}


def behind(stage: Stage) -> Iterator[Layer]:
    """What hangs in the sky, to be laid before the setting."""
    if AIRS[stage.weather].cover:
        yield _cover(stage)
    if stage.weather == "storm":
        yield _lightning(stage)
    if stage.weather == "rainbow":
        yield from _rainbow(stage)


def around(stage: Stage) -> Iterator[Layer]:
    """What lies over the setting and behind the figures: banks of fog, fallen snow."""
    (w, h), unit = stage.size, stage.unit
    if stage.weather == "fog":
        colour = mix(stage.light.haze, (255, 255, 255), 0.3 if stage.time != "night" else 0.12)
        mask = Image.new("L", stage.size, 22)
        draw = ImageDraw.Draw(mask)
        for share, depth in ((-0.16, 60), (-0.02, 84), (0.1, 76), (0.24, 52)):
            y = stage.horizon + share * unit
            for _ in range(5 * w // unit + 1):
                x, half = stage.rng.uniform(0, w), unit * stage.rng.uniform(0.2, 0.42)
                thick = unit * stage.rng.uniform(0.04, 0.07)
                draw.ellipse((x - half, y - thick, x + half, y + thick), fill=depth)
        small = mask.reduce(4).filter(ImageFilter.BoxBlur(unit / 80))
        yield Layer(
            Image.new("RGB", stage.size, colour), small.resize(stage.size, Image.Resampling.BILINEAR), 0.0
        )
    if stage.weather == "snow":
        white = mix((250, 252, 255), stage.light.haze, 0.3 if stage.time != "night" else 0.62)
        mask = Image.new("L", stage.size, 0)
        draw = ImageDraw.Draw(mask)
        draw.rectangle((0, stage.base - 0.03 * unit, w, h), fill=205)
        for x in range(-unit // 8, w + unit // 8, unit // 8):
            tall = unit * stage.rng.uniform(0.02, 0.06)
            draw.ellipse(
                (x - unit / 7, stage.base - 0.03 * unit - tall, x + unit / 7, stage.base + tall), fill=205
            )
        yield Layer(
            stage.sheet(white, mix(white, stage.light.sky[0], 0.25), stage.base - 0.1 * unit, h), mask, 0.0
        )


def in_front(stage: Stage) -> Iterator[Layer]:
    """What falls before everything, thin enough to see through."""
    (w, h), unit, rng = stage.size, stage.unit, stage.rng
    if stage.weather in ("rain", "storm"):
        mask = Image.new("L", stage.size, 0)
        draw = ImageDraw.Draw(mask)
        heavy = stage.weather == "storm"
        slant, count = (0.5, 34) if heavy else (0.22, 46)
        for _ in range(count * w * h // (unit * unit)):
            x, y, reach = (
                rng.uniform(-0.1, 1.1) * w,
                rng.uniform(-0.1, 1.0) * h,
                unit * rng.uniform(0.07, 0.13),
            )
            width = max(2, round(unit * 0.011))
            draw.line([(x, y), (x - slant * reach, y + reach)], fill=165, width=width)
        yield Layer(Image.new("RGB", stage.size, mix((226, 236, 250), stage.light.sky[1], 0.15)), mask, 0.0)
    if stage.weather == "snow":
        mask = Image.new("L", stage.size, 0)
        draw = ImageDraw.Draw(mask)
        for _ in range(64 * w * h // (unit * unit)):
            x, y, r = rng.uniform(0, w), rng.uniform(0, h), unit * rng.choice([0.009, 0.013, 0.018])
            draw.ellipse((x - r, y - r, x + r, y + r), fill=240)
        yield Layer(Image.new("RGB", stage.size, (252, 253, 255)), mask, 0.0)
    if stage.weather == "fog":
        colour = mix(stage.light.haze, (255, 255, 255), 0.2 if stage.time != "night" else 0.05)
        mask = Image.new("L", stage.size, 30)
        y = stage.base
        ImageDraw.Draw(mask).ellipse((-0.2 * w, y - 0.06 * unit, 1.2 * w, y + 0.24 * unit), fill=90)
        small = mask.reduce(4).filter(ImageFilter.BoxBlur(unit / 50))
        yield Layer(
            Image.new("RGB", stage.size, colour), small.resize(stage.size, Image.Resampling.BILINEAR), 0.0
        )


def _cover(stage: Stage) -> Layer:
    """Heaped clouds along the upper edge, dark below where it rains."""
    (w, _), unit, rng = stage.size, stage.unit, stage.rng
    heavy = stage.weather != "cloudy"
    mask = Image.new("L", stage.size, 0)
    draw = ImageDraw.Draw(mask)
    count = AIRS[stage.weather].cover
    low = 0.0
    for i in range(count):
        x = w * ((i + 0.5) / count + rng.uniform(-0.06, 0.06))
        y = stage.horizon * (rng.uniform(0.0, 0.14) if heavy else rng.uniform(0.06, 0.5))
        for dx, dy, r in ((-0.11, 0.03, 0.07), (0.0, -0.01, 0.1), (0.11, 0.03, 0.075), (0.05, 0.05, 0.07)):
            cx, cy = x + dx * unit, y + dy * unit
            reach = r * unit * (1.25 if heavy else 0.85)
            draw.ellipse((cx - reach * 1.2, cy - reach, cx + reach * 1.2, cy + reach), fill=238)
            low = max(low, cy + reach)
    base = CLOUDS[stage.time]
    colour = mix(base, (70, 74, 92), 0.5) if heavy else base
    if stage.weather == "storm":
        colour = mix(colour, (30, 30, 48), 0.55)
    shade = mix(colour, stage.light.sky[0], 0.4) if not heavy else mix(colour, (30, 32, 50), 0.35)
    return Layer(stage.sheet(mix(colour, (255, 255, 255), 0.12), shade, 0, low), mask, 1.0)


def _lightning(stage: Stage) -> Layer:
    (w, _), unit, rng = stage.size, stage.unit, stage.rng
    x = w * (rng.uniform(0.12, 0.3) if rng.random() < 0.5 else rng.uniform(0.7, 0.88))
    line, y = [(x, 0.06 * stage.horizon)], 0.06 * stage.horizon
    step = (stage.horizon * 1.02 - y) / 5
    for i in range(5):
        x += unit * (0.075 if i % 2 else -0.06) * rng.uniform(0.7, 1.3)
        y += step
        line.append((x, y))
    mask = Image.new("L", stage.size, 0)
    draw = ImageDraw.Draw(mask)
    draw.line(line, fill=255, width=round(0.034 * unit), joint="curve")
    fork = [
        line[2],
        (line[2][0] + 0.1 * unit, line[2][1] + 0.09 * unit),
        (line[2][0] + 0.08 * unit, line[2][1] + 0.17 * unit),
    ]
    draw.line(fork, fill=255, width=round(0.02 * unit), joint="curve")
    return Layer(Image.new("RGB", stage.size, (255, 248, 196)), mask, 1.0)


def _rainbow(stage: Stage) -> Iterator[Layer]:
    (w, _), unit, rng = stage.size, stage.unit, stage.rng
    x, y = w * (0.5 + rng.uniform(-0.06, 0.06)), stage.horizon + 0.04 * unit
    outer, band = 0.5 * max(w, unit) * rng.uniform(0.94, 1.02), 0.026 * unit
    outer = min(outer, y * 0.96)
    depth = 225 if stage.time != "night" else 165
    for i, colour in enumerate(RAINBOW):
        r = outer - i * band
        mask = Image.new("L", stage.size, 0)
        width = math.ceil(band) + 1
        ImageDraw.Draw(mask).arc((x - r, y - r, x + r, y + r), 180, 360, fill=depth, width=width)
        yield Layer(Image.new("RGB", stage.size, colour), mask, 1.0)
