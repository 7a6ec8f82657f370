"""LoRAs that have been read lately, so that the next request with one need not read it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.worker.lora.bypass import Loras
from engine.worker.lora.reading import Lora, file_key, read_lora

_BYTES = 512 * 2**20


class LoraStore:
    """The LoRAs of one loaded model. Those that running pictures hold live on when they are put out of here."""

    def __init__(
        self,
        components: Mapping[str, Any],
        device: torch.device,
        dtype: torch.dtype,
        *,
        most_bytes: int = _BYTES,
    ) -> None:
        """`components`: what LoRAs may add to, by name in diffusers' pipelines."""
        self._components = components
        self._device = device
        self._dtype = dtype
        self._most_bytes = most_bytes
        self._held: OrderedDict[tuple[str, int, int], Lora] = OrderedDict()

    def load(self, adapters: Sequence[tuple[Path, float]]) -> Loras:
        """Raises GenerationFailed for a file that is missing, unreadable or made for something else."""
        return tuple((self._get(path), weight) for path, weight in adapters if weight != 0)

    def _get(self, path: Path) -> Lora:
        key = file_key(path)  # A file that has changed is read again.
        if key not in self._held:
            self._held[key] = read_lora(path, self._components, self._device, self._dtype)
        lora = self._held[key]
        self._held.move_to_end(key)
        held = sum(one.nbytes for one in self._held.values())
        while held > self._most_bytes and len(self._held) > 1:
            held -= self._held.popitem(last=False)[1].nbytes
        return lora
