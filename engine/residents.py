"""Which models are on the device or on their way there, and which go to make room for one that is asked for.

Plain arithmetic on bytes; what loads and frees memory is the worker, and who is served first is the scheduler's choice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass
class Residents:
    """Models by what they take, least recently used first to go. Sizes are bytes of the device's memory."""

    budget: int | None = None
    """Most bytes that weights may take in all; None until the worker has said so, and then nothing is refused."""
    named: int = 0
    """Bytes of the files that requests name; those of earlier requests go before any model."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Models that are ready to be loaded as soon as there is room, in the order in which they came, and their sizes."""
    _sizes: dict[str, int] = field(default_factory=dict)
    """Of the models that have room: loaded, or being loaded. The least recently used stands first."""
    _loading: set[str] = field(default_factory=set)

    @property
    def loading(self) -> bool:
        """Whether a model that was given room is still on its way."""
        return bool(self._loading)

    @property
    def used(self) -> int:
        """Bytes that are taken or given away."""
        return sum(self._sizes.values()) + self.named

    def lacking(self, model: str | None = None) -> int:
        """Bytes by which the budget is exceeded, once a waiting model has room."""
        if self.budget is None:
            return 0
        return max(0, self.used + (0 if model is None else self.waiting[model]) - self.budget)

    def ask(self, model: str, size: int) -> None:
        """Line a model up for room."""
        self.waiting[model] = size

    def victims(self, model: str | None, removable: Collection[str], *, sparing: int = 0) -> list[str] | None:
        """Which of `removable` have to go so that a waiting model fits, or so that what is here does: as few as it takes of
        the least recently used. `sparing`: bytes that are gained otherwise.

        None where not even all of them make room. Models that are still being loaded never go.
        """
        missing = self.lacking(model) - sparing
        chosen: list[str] = []
        for resident in self._sizes:
            if missing <= 0:
                break
            if resident in removable and resident not in self._loading:
                chosen.append(resident)
                missing -= self._sizes[resident]
        for resident in reversed(chosen[:-1]):
            if missing + self._sizes[resident] <= 0:
                chosen.remove(resident)
                missing += self._sizes[resident]
        # A model may exceed the budget with the files that its own requests hold, and would wait for them for ever; alone
        # on the device it has the last word.
        alone = set(chosen) == set(self._sizes)
        return chosen if missing <= 0 or alone else None

    def give(self, model: str) -> None:
        """Give a waiting model its room."""
        self._sizes[model] = self.waiting.pop(model)
        self._loading.add(model)

    def loaded(self, model: str) -> None:
        """Take note that a model is on the device."""
        self._loading.discard(model)
        self.use(model)

    def use(self, model: str) -> None:
        """Take note that a model is the most recently used one."""
        if model in self._sizes:
            self._sizes[model] = self._sizes.pop(model)

    def leave(self, model: str) -> None:
        """Take note that a model is neither on the device nor on its way any more."""
        self._sizes.pop(model, None)
        self.waiting.pop(model, None)
        self._loading.discard(model)
