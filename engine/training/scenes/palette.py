"""Colours: the ten a caption can name and the light of the four times of day."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]

# Main tones are chosen far apart in hue or lightness, so that each name survives every light and style.
SUBJECT_COLOURS: dict[str, RGB] = {
    "red": (214, 30, 38),
    "orange": (250, 132, 14),
    "yellow": (255, 222, 32),
    "green": (44, 168, 62),
    "blue": (34, 92, 222),
    "purple": (128, 50, 184),
    "pink": (255, 132, 188),
    "white": (247, 247, 244),
    "black": (38, 38, 46),
    "brown": (122, 74, 40),
}

# Materials keep their colour, whatever colour the caption names.
WOOD: RGB = (112, 70, 42)
SLATE: RGB = (84, 82, 100)
CREAM: RGB = (250, 238, 212)
GLOW: RGB = (255, 222, 120)
GLASS: RGB = (178, 222, 240)
LEAF: RGB = (62, 140, 62)
INK: RGB = (30, 28, 36)


@dataclass(frozen=True, slots=True)
class Tones:
    """One named colour as a painter mixes it: light side, main, shaded side, deepest shade, outline."""

    main: RGB
    light: RGB
    dark: RGB
    deep: RGB
    contour: RGB


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one time of day."""

    sky: tuple[RGB, RGB, RGB]  # top, middle, horizon
    sun: RGB
    sun_at: tuple[float, float]  # as shares of width and height
    sun_size: float  # radius as a share of the shorter side
    ground: tuple[float, float, float]  # what the ground's colours are multiplied with
    subject: tuple[float, float, float]
    haze: RGB
    haze_share: float


LIGHTS: dict[str, Light] = {
    "dawn": Light(
        ((158, 186, 232), (250, 206, 222), (255, 240, 214)),
        (255, 250, 226),
        (0.2, 0.5),
        0.09,
        (0.94, 0.9, 0.96),
        (0.99, 0.97, 0.99),
        (252, 226, 232),
        0.4,
    ),
    "day": Light(
        ((48, 132, 228), (116, 188, 246), (206, 234, 250)),
        (255, 238, 120),
        (0.84, 0.15),
        0.085,
        (1.0, 1.0, 1.0),
        (1.0, 1.0, 1.0),
        (206, 230, 248),
        0.2,
    ),
    "sunset": Light(
        ((74, 42, 120), (222, 74, 84), (255, 178, 62)),
        (255, 226, 120),
        (0.8, 0.52),
        0.14,
        (0.82, 0.56, 0.56),
        (1.0, 0.93, 0.88),
        (232, 104, 84),
        0.3,
    ),
    "night": Light(
        ((8, 12, 42), (20, 30, 80), (46, 62, 124)),
        (246, 244, 222),
        (0.18, 0.17),
        0.085,
        (0.3, 0.36, 0.56),
        (0.86, 0.87, 0.95),
        (34, 46, 100),
        0.25,
    ),
}


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`a` with `share` of `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def tinted(colour: RGB, factors: tuple[float, float, float]) -> RGB:
    return (
        min(255, round(colour[0] * factors[0])),
        min(255, round(colour[1] * factors[1])),
        min(255, round(colour[2] * factors[2])),
    )


def tones(name: str, time: str) -> Tones:
    """The named colour under a time's light. Black gets a pale outline, so that night does not swallow it."""
    base = SUBJECT_COLOURS[name]
    factors = LIGHTS[time].subject
    shade: RGB = (24, 14, 50)
    if name == "black":
        light, dark, deep, contour = (
            mix(base, (255, 255, 255), 0.2),
            (22, 22, 28),
            (12, 12, 16),
            (134, 138, 156),
        )
    elif name == "white":
        light, dark, deep, contour = (255, 255, 255), (212, 218, 228), (160, 168, 186), (120, 126, 146)
    else:
        light = mix(base, (255, 255, 255), 0.26)
        dark, deep, contour = mix(base, shade, 0.24), mix(base, shade, 0.46), mix(base, shade, 0.66)
    return Tones(*(tinted(c, factors) for c in (base, light, dark, deep, contour)))
