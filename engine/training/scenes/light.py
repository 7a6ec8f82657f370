"""What the weather does to the light of a time of day."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.training.scenes.palette import RGB, Light, mix


@dataclass(frozen=True, slots=True)
class Air:
    """How far the sky's colours go towards grey, how far all goes towards dark, and how thick the haze is."""

    grey: float
    dark: float
    haze: float
    cover: int = 0  # heaps of cloud


AIRS: dict[str, Air] = {
    "clear": Air(0, 0, 0),
    "cloudy": Air(0.22, 0.04, 0.05, cover=6),
    "rain": Air(0.45, 0.16, 0.2, cover=7),
    "snow": Air(0.35, -0.1, 0.25),
    "fog": Air(0.3, -0.08, 0.6),
    "storm": Air(0.4, 0.38, 0.15, cover=8),
    "rainbow": Air(0.05, 0.0, 0.05),
}


def weathered(light: Light, weather: str) -> Light:
    """A time's light in this weather: the hues that tell the time stay."""
    air = AIRS[weather]
    if weather == "clear":
        return light

    def dulled(colour: RGB, share: float = 1.0) -> RGB:
        level = round(sum(colour) / 3)
        towards = (12, 12, 24) if air.dark > 0 else (236, 238, 244)
        # Brightening a night as much as a day would end it.
        reach = abs(air.dark) * (1.0 if air.dark > 0 else level / 255)
        return mix(mix(colour, (level, level, round(level * 1.06)), air.grey * share), towards, reach)

    top, middle, low = (dulled(colour) for colour in light.sky)
    factors = tuple(factor * (1 - 0.55 * max(0.0, air.dark)) for factor in light.ground)
    return replace(
        light,
        sky=(top, middle, low),
        ground=(factors[0], factors[1], factors[2]),
        haze=dulled(light.haze, 0.6),
        haze_share=min(0.85, light.haze_share + air.haze),
    )
