"""Four settings more: a beach, a village, a volcano, a farm; layers from back to front."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from engine.training.scenes.palette import RGB, mix
from engine.training.scenes.stage import Layer, Stage


def beach(stage: Stage) -> list[Layer]:
    """A strip of turquoise sea, a broad bright sand with foam along it, palms at one side."""
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    sea = stage.lit((40, 186, 200), 0.4)
    water = stage.sheet(
        mix(sea, stage.light.sky[2], 0.25),
        mix(sea, (255, 255, 255), 0.2),
        stage.horizon,
        stage.horizon + 0.12 * unit,
    )
    layers = [Layer(water, stage.outline([(0, stage.horizon), (w, stage.horizon), (w, h), (0, h)]), 0.7)]
    shore = stage.horizon + 0.1 * unit
    waves = rng.uniform(0.6, 0.9)
    foam, sand = stage.lit((255, 255, 255), 0.1), stage.lit((250, 222, 158), 0.0)
    state = rng.bit_generator.state
    layers.append(Layer(Image.new("RGB", stage.size, foam), stage.hills(shore, 0.015 * unit, waves), 0.3))
    # The same line again, a little lower: what lies between is the foam.
    rng.bit_generator.state = state
    layers.append(
        Layer(
            stage.sheet(mix(sand, (255, 255, 255), 0.2), mix(sand, (150, 96, 60), 0.2), shore, h),
            stage.hills(shore + 0.025 * unit, 0.015 * unit, waves),
            0.0,
        )
    )
    side = 1 if rng.random() < 0.5 else -1
    for place, tall in ((0.46, 0.62), (0.36, 0.46)):
        x = w / 2 + side * (place * w + rng.uniform(-0.02, 0.03) * unit)
        layers += _palm(stage, x, shore + 0.06 * unit, tall * unit * rng.uniform(0.9, 1.1), -side)
    return layers


def _palm(stage: Stage, x: float, y: float, tall: float, lean: int) -> list[Layer]:
    trunk, leaves = Image.new("L", stage.size, 0), Image.new("L", stage.size, 0)
    top = (x + lean * 0.16 * tall, y - tall)
    bend = (x + lean * 0.02 * tall, y - 0.55 * tall)
    ImageDraw.Draw(trunk).line(
        [(x, y), bend, top], fill=255, width=max(2, round(0.075 * tall)), joint="curve"
    )
    draw = ImageDraw.Draw(leaves)
    for angle in (-200, -165, -120, -60, -15, 20):
        a = math.radians(angle)
        reach = 0.42 * tall
        middle = (top[0] + 0.55 * reach * math.cos(a), top[1] + 0.55 * reach * math.sin(a) - 0.06 * tall)
        tip = (top[0] + reach * math.cos(a), top[1] + reach * math.sin(a) + 0.12 * tall)
        across = 0.075 * tall
        draw.polygon([top, (middle[0], middle[1] - across), tip, (middle[0], middle[1] + across)], fill=255)
    brown, green = stage.lit((150, 104, 66), 0.1), stage.lit((46, 150, 74), 0.1)
    return [
        Layer(Image.new("RGB", stage.size, brown), trunk, 0.1),
        Layer(stage.sheet(mix(green, (255, 255, 200), 0.15), green, top[1] - 0.2 * tall, y), leaves, 0.1),
    ]


def village(stage: Stage) -> list[Layer]:
    """A lawn before a row of small houses with steep roofs and a church tower."""
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    lit = stage.time in ("night", "sunset")
    far = stage.lit((126, 176, 120), 0.8)
    layers = [
        Layer(
            stage.sheet(mix(far, (255, 255, 255), 0.1), far, stage.horizon - 0.1 * unit, h),
            stage.hills(stage.horizon - 0.01 * unit, 0.03 * unit, 0.8),
            0.8,
        )
    ]
    base = stage.horizon + 0.07 * unit
    mask, image = Image.new("L", stage.size, 0), Image.new("RGB", stage.size)
    marks, draw = ImageDraw.Draw(mask), ImageDraw.Draw(image)
    glow = (255, 226, 130) if lit else stage.lit((96, 104, 128), 0.2)
    walls: tuple[RGB, ...] = ((248, 236, 212), (240, 214, 176), (226, 226, 232), (244, 206, 196))
    roofs: tuple[RGB, ...] = ((186, 82, 62), (160, 92, 72), (120, 96, 112))
    tower = rng.uniform(0.12, 0.3) if rng.random() < 0.5 else rng.uniform(0.7, 0.88)
    x, turn = -rng.uniform(0.0, 0.12) * unit, int(rng.integers(4))
    houses = [(tower * w, 0.1 * unit, 0.36 * unit, 0.2 * unit)]
    while x < w:
        wide = unit * rng.uniform(0.17, 0.23)
        houses.append((x + wide / 2, wide, unit * rng.uniform(0.1, 0.14), unit * rng.uniform(0.1, 0.14)))
        x += wide * rng.uniform(0.98, 1.15)
    for i, (cx, wide, tall, peak) in enumerate(houses):
        wall, roof = stage.lit(walls[(i + turn) % 4], 0.3), stage.lit(roofs[(i + turn) % 3], 0.3)
        box = (cx - wide / 2, base - tall, cx + wide / 2, base)
        gable = [(cx - wide * 0.6, base - tall), (cx, base - tall - peak), (cx + wide * 0.6, base - tall)]
        for at, fill in ((draw, wall), (marks, 255)):
            at.rectangle(box, fill=fill)
        for at, fill in ((draw, roof), (marks, 255)):
            at.polygon(gable, fill=fill)
        pane = 0.026 * unit
        for dx in (-0.24, 0.24) if i else (0.0,):
            px, py = cx + dx * wide, base - tall * (0.55 if i else 0.8)
            draw.rectangle((px - pane, py - pane, px + pane, py + pane), fill=glow)
    layers.append(Layer(image, mask, 0.4))
    lawn = stage.lit((120, 178, 84), 0.0)
    y = stage.horizon + 0.08 * unit
    layers.append(
        Layer(
            stage.sheet(mix(lawn, (255, 255, 210), 0.15), mix(lawn, (10, 30, 30), 0.2), y, h),
            stage.hills(y, 0.012 * unit, rng.uniform(0.6, 1.1)),
            0.0,
        )
    )
    path = stage.lit((222, 200, 160), 0.0)
    left, right = w * 0.5 - 0.05 * unit, w * 0.5 + 0.05 * unit
    layers.append(
        Layer(
            Image.new("RGB", stage.size, path),
            stage.outline(
                [
                    (left, y + 0.02 * unit),
                    (right, y + 0.02 * unit),
                    (right + 0.2 * unit, h),
                    (left - 0.2 * unit, h),
                ]
            ),
            0.0,
        )
    )
    return layers


def volcano(stage: Stage) -> list[Layer]:
    """One dark cone with running lava and a cloud of ash, on black ground with glowing cracks."""
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    x, top = w * rng.uniform(0.36, 0.64), stage.horizon - rng.uniform(0.4, 0.46) * unit
    base, mouth, half = stage.horizon + 0.06 * unit, 0.075 * unit, 0.52 * unit
    ash, smoke = stage.lit((112, 98, 104), 0.4), Image.new("L", stage.size, 0)
    draw = ImageDraw.Draw(smoke)
    drift = rng.uniform(-0.1, 0.1) * unit
    for share, r in ((0.0, 0.07), (0.1, 0.09), (0.2, 0.12), (0.31, 0.14)):
        cx, cy = x + drift * share * 5 + rng.uniform(-0.02, 0.02) * unit, top - share * unit
        draw.ellipse((cx - r * unit * 1.2, cy - r * unit, cx + r * unit * 1.2, cy + r * unit), fill=235)
    layers = [
        Layer(
            stage.sheet(
                mix(ash, (255, 255, 255), 0.12), mix(ash, (255, 96, 30), 0.45), top - 0.3 * unit, top
            ),
            smoke,
            0.9,
        )
    ]
    rock = stage.lit((92, 70, 74), 0.5)
    cone = stage.outline(
        [
            (x - half, base),
            (x - 0.24 * unit, base - 0.16 * unit),
            (x - mouth, top),
            (x + mouth, top),
            (x + 0.24 * unit, base - 0.16 * unit),
            (x + half, base),
        ]
    )
    image = stage.sheet(mix(rock, (255, 160, 110), 0.12), mix(rock, (20, 10, 20), 0.3), top, base)
    draw = ImageDraw.Draw(image)
    lava, hot = (255, 104, 22), (255, 214, 84)
    draw.ellipse((x - mouth * 1.1, top - 0.02 * unit, x + mouth * 1.1, top + 0.03 * unit), fill=lava)
    for side, reach in ((-0.5, 0.3), (0.15, 0.42), (0.75, 0.24)):
        line = [(x + side * mouth, top)]
        line += [
            (x + side * mouth * (1 + 1.3 * k) + rng.uniform(-0.02, 0.02) * unit, top + reach * unit * k / 3)
            for k in range(1, 4)
        ]
        draw.line(line, fill=lava, width=round(0.05 * unit), joint="curve")
        draw.line(line, fill=hot, width=round(0.018 * unit), joint="curve")
    layers.append(Layer(image, cone, 0.6))
    ground = stage.lit((70, 58, 66), 0.0)
    y = stage.horizon + 0.06 * unit
    image = stage.sheet(mix(ground, (150, 110, 100), 0.3), mix(ground, (14, 8, 14), 0.35), y, h)
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        cx, cy = rng.uniform(0, w), rng.uniform(y + 0.06 * unit, h)
        reach = rng.uniform(0.06, 0.12) * unit
        line = [
            (cx - reach, cy),
            (cx - 0.2 * reach, cy + 0.016 * unit),
            (cx + 0.3 * reach, cy - 0.012 * unit),
            (cx + reach, cy + 0.012 * unit),
        ]
        draw.line(line, fill=lava, width=round(0.022 * unit), joint="curve")
    layers.append(Layer(image, stage.hills(y, 0.025 * unit, rng.uniform(0.7, 1.2)), 0.0))
    return layers


def farm(stage: Stage) -> list[Layer]:
    """Rows of golden wheat running to the horizon, a barn with a white cross at one side."""
    w, h = stage.size
    unit, rng = stage.unit, stage.rng
    far = stage.lit((150, 178, 96), 0.8)
    layers = [
        Layer(
            Image.new("RGB", stage.size, far),
            stage.hills(stage.horizon - 0.015 * unit, 0.03 * unit, rng.uniform(0.6, 1.0)),
            0.8,
        )
    ]
    y = stage.horizon + 0.04 * unit
    gold = stage.lit((240, 192, 66), 0.0)
    image = stage.sheet(mix(gold, (255, 250, 200), 0.25), gold, y, h)
    draw = ImageDraw.Draw(image)
    furrow, middle = mix(gold, stage.lit((150, 96, 30), 0.0), 0.6), w * rng.uniform(0.35, 0.65)
    for k in range(-9, 10):
        foot, thick = middle + k * 0.3 * unit, 0.05 * unit
        draw.polygon([(middle + k * 0.055 * unit, y), (foot - thick, h), (foot + thick, h)], fill=furrow)
    layers.append(Layer(image, stage.hills(y, 0.008 * unit, 0.8), 0.0))
    side = rng.uniform(0.04, 0.16) if rng.random() < 0.5 else rng.uniform(0.84, 0.96)
    x, base, half, wall = side * w, y + 0.05 * unit, 0.15 * unit, 0.15 * unit
    barn = [
        (x - half, base),
        (x - half, base - wall),
        (x - half * 0.66, base - wall * 1.55),
        (x, base - wall * 1.95),
        (x + half * 0.66, base - wall * 1.55),
        (x + half, base - wall),
        (x + half, base),
    ]
    image = Image.new("RGB", stage.size, stage.lit((176, 58, 46), 0.2))
    draw = ImageDraw.Draw(image)
    white, thick = stage.lit((250, 244, 234), 0.1), max(2, round(0.018 * unit))
    draw.line(barn[1:6], fill=stage.lit((104, 84, 88), 0.2), width=2 * thick, joint="curve")
    door = (x - half * 0.42, base - wall * 0.78, x + half * 0.42, base)
    draw.rectangle(door, outline=white, width=thick)
    draw.line([door[:2], door[2:]], fill=white, width=thick)
    draw.line([(door[0], door[3]), (door[2], door[1])], fill=white, width=thick)
    layers.append(Layer(image, stage.outline(barn), 0.3))
    return layers
