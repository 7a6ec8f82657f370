"""The LoRAs that requests name, read once as long as somebody holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.worker.file_cache import FileCache
from engine.worker.lora.bypass import Loras
from engine.worker.lora.reading import Lora, Translate, adaptable, read_lora


class LoraStore:
    """The LoRAs of one loaded model."""

    def __init__(
        self,
        components: Mapping[str, Any],
        device: torch.device,
        dtype: torch.dtype,
        *,
        translate: Translate | None = None,
        shared: Sequence[str] = (),
    ) -> None:
        """`components`: what LoRAs may add to, by name in diffusers' pipelines, the denoiser first. `translate` and
        `shared`: see `read_lora`.
        """

        # Once and now: going through a large model takes so long that a step would feel it.
        modules = {name: adaptable(component) for name, component in components.items()}

        def read(path: Path) -> Lora:
            return read_lora(path, modules, device, dtype, translate=translate, shared=shared)

        self._files: FileCache[Lora] = FileCache(read)

    def load(self, adapters: Sequence[tuple[Path, float]]) -> Loras:
        """Those that add something; the others are looked at too, so that a mistake shows whatever the weight.

        Raises GenerationFailed for a file that is missing, unreadable or made for something else.
        """
        read = [(self._files.get(path, "adapter"), weight) for path, weight in adapters]
        return tuple((lora, weight) for lora, weight in read if weight != 0)
