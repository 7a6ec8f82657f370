"""The sky, which tells the time of day."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from engine.training.scenes.palette import RGB, mix
from engine.training.scenes.stage import Layer, Stage


def sky(stage: Stage) -> list[Layer]:
    """The sky with its sun or moon, clouds, mist or stars: what tells the time of day."""
    w, h = stage.size
    light, unit, rng = stage.light, stage.unit, stage.rng
    top, middle, low = light.sky
    x, y = (
        light.sun_at[0] * w + rng.uniform(-0.04, 0.04) * unit,
        light.sun_at[1] * h + rng.uniform(-0.02, 0.02) * unit,
    )
    radius = light.sun_size * unit
    layers = []
    if stage.flat:
        layers.append(Layer(Image.new("RGB", stage.size, top), Image.new("L", stage.size, 255), 1.0))
        reach = math.hypot(w, h)
        for share, colour in (
            (0.62, mix(top, middle, 0.5)),
            (0.46, middle),
            (0.31, mix(middle, low, 0.5)),
            (0.18, low),
        ):
            mask = Image.new("L", stage.size, 0)
            r = reach * share if stage.time != "night" else reach * share * 0.8
            ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=255)
            layers.append(Layer(Image.new("RGB", stage.size, colour), mask, 1.0))
    else:
        upper = np.array(stage.sheet(top, middle, 0, stage.horizon * 0.58), dtype=np.float32)
        lower = np.array(stage.sheet(middle, low, stage.horizon * 0.58, stage.horizon), dtype=np.float32)
        cut = round(stage.horizon * 0.58)
        both = np.concatenate([upper[:cut], lower[cut:]]).astype(np.uint8)
        canvas = Image.fromarray(both)
        glow = Image.radial_gradient("L").resize((round(radius * 7), round(radius * 7)))
        strength = 0.75 if stage.time in ("sunset", "dawn") else 0.5 if stage.time == "day" else 0.4
        glow = glow.point([round(max(0, 255 - v * 1.4) * strength) for v in range(256)])
        canvas.paste(mix(light.sun, low, 0.2), (round(x - glow.width / 2), round(y - glow.height / 2)), glow)
        layers.append(Layer(canvas, Image.new("L", stage.size, 255), 1.0))
    draw = ImageDraw.Draw(layers[-1].image)
    if stage.time == "night":
        for _ in range(int(rng.integers(26, 40)) * w * h // (unit * unit)):
            sx, sy = rng.uniform(0, w), rng.uniform(0, stage.horizon * 0.9)
            r = unit * rng.choice([0.004, 0.006, 0.009])
            for layer in layers if stage.flat else layers[-1:]:
                ImageDraw.Draw(layer.image).ellipse((sx - r, sy - r, sx + r, sy + r), fill=(250, 248, 230))
    if not stage.flat:
        tint = {
            "dawn": (255, 246, 240),
            "day": (255, 255, 255),
            "sunset": (255, 150, 96),
            "night": (40, 52, 104),
        }[stage.time]
        for _ in range(3):
            _cloud(
                draw,
                rng,
                rng.uniform(0.0, 1.0) * w,
                rng.uniform(0.1, 0.62) * stage.horizon,
                unit,
                tint,
                stage.time,
            )
    disc = Image.new("L", stage.size, 0)
    disc_draw = ImageDraw.Draw(disc)
    disc_draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    if stage.time == "night":
        bite = radius * 0.92
        disc_draw.ellipse(
            (
                x + 0.5 * radius - bite,
                y - 0.3 * radius - bite,
                x + 0.5 * radius + bite,
                y - 0.3 * radius + bite,
            ),
            fill=0,
        )
    layers.append(Layer(Image.new("RGB", stage.size, light.sun), disc, 1.0))
    if stage.flat:
        cloud_colour = {
            "dawn": (255, 244, 238),
            "day": (255, 255, 255),
            "sunset": (250, 128, 96),
            "night": (56, 70, 128),
        }[stage.time]
        mask = Image.new("L", stage.size, 0)
        for _ in range(2):
            _cloud(
                ImageDraw.Draw(mask),
                rng,
                rng.uniform(0.42 if stage.time == "night" else 0.05, 0.95) * w,
                rng.uniform(0.14, 0.5) * stage.horizon,
                unit,
                255,
                "day",
            )
        layers.append(Layer(Image.new("RGB", stage.size, cloud_colour), mask, 1.0))
    return layers


def _cloud(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    x: float,
    y: float,
    unit: int,
    colour: RGB | int,
    time: str,
) -> None:
    """Heaped clouds by day, long flat ones at the edges of the day."""
    length, height = (0.16, 0.05) if time == "day" else (0.3, 0.022)
    length *= rng.uniform(0.8, 1.2) * unit
    height *= unit
    if time == "day":
        for dx, dy, r in ((-0.6, 0.2, 0.7), (-0.15, -0.35, 1.0), (0.35, -0.05, 0.85), (0.75, 0.3, 0.55)):
            r *= height * 1.05
            cx, cy = x + dx * length * 0.7, y + dy * height
            draw.ellipse((cx - r * 1.25, cy - r, cx + r * 1.25, cy + r), fill=colour)
    else:
        for dx, dy, share in ((0.0, 0.0, 1.0), (0.3, -1.1, 0.6), (-0.4, 1.0, 0.5)):
            cx, cy, half = x + dx * length, y + dy * height * 1.1, length * share / 2
            draw.rounded_rectangle(
                (cx - half, cy - height / 2, cx + half, cy + height / 2), height / 2, fill=colour
            )
