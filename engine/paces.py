"""How long steps and loads take: whole ones, as those who wait for them see it."""

from __future__ import annotations

from engine.batch import Size
from engine.step_cost import StepCost


class Paces:
    """Seconds of steps by model and size, and of loads by model, from what was timed."""

    def __init__(self) -> None:
        self._steps: dict[Size, StepCost] = {}
        self._loads: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def observe(self, size: Size, rows: int, seconds: float) -> None:
        """Take in that a step with so many rows took so long, with all that was decoded and encoded on the way."""
        self._steps.setdefault(size, StepCost()).observe(rows, seconds)

    @property
    def known(self) -> bool:
        """Whether any step has been timed; those that warm up are not."""
        return any(cost.seconds(1) is not None for cost in self._steps.values())

    def seconds(self, size: Size, rows: float) -> float:
        """What a step takes. Where its size was not timed, the one of its model and stage that is nearest in area is scaled
        by the area, and where none of these was, the nearest of all; 0 where nothing is known.
        """
        measured = self._steps.get(size)
        if measured is not None and (seconds := measured.seconds(rows)) is not None:
            return seconds
        area = size.width * size.height
        guesses: list[tuple[bool, float, float]] = []
        for other, cost in self._steps.items():
            if (seconds := cost.seconds(rows)) is not None:
                # Where sizes mix, rows are counted by area already.
                ratio = area / other_area if (other_area := other.width * other.height) and area else 1.0
                guesses.append(
                    (
                        (other.model, other.stage) != (size.model, size.stage),
                        max(ratio, 1 / ratio),
                        seconds * ratio,
                    )
                )
        return min(guesses)[2] if guesses else 0.0

    def load_begins(self, model: str, now: float) -> None:
        """Take note that a model has room and is being loaded. `now`: seconds of a clock."""
        self._begun[model] = now

    def load_ends(self, model: str, now: float, *, well: bool) -> None:
        """Take note that it is here, or could not be loaded, which says nothing of how long it takes."""
        begun = self._begun.pop(model, None)
        if well and begun is not None:
            self._loads[model] = now - begun

    def load_left(self, model: str, now: float) -> float | None:
        """Seconds until a model is here, if it gets room soon; None where it was never loaded before."""
        took = self._loads.get(model)
        return None if took is None else max(0.0, took - (now - self._begun.get(model, now)))
