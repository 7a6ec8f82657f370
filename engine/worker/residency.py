"""Which models are on the device. Every configured model is loaded when it is first asked for, and stays."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import torch

from engine.catalog import ModelInfo, read_model
from engine.config import EngineConfig
from engine.errors import GenerationFailed
from engine.output import Loading
from engine.worker.device import resolve_device, resolve_dtype
from engine.worker.interface import LoadedFamily
from engine.worker.loader import load_components
from engine.worker.registry import make_family

log = logging.getLogger(__name__)


class Residency:
    """Loaded models by name. `load` runs on a loader thread, the rest on the engine thread."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self.device = resolve_device(config.device)
        self.dtype = resolve_dtype(config, self.device)
        if config.exact:
            # NVIDIA's convolutions otherwise round float32 inputs to 10 bits of mantissa.
            torch.backends.cudnn.allow_tf32 = False
        self._families: dict[str, LoadedFamily] = {}

    def load(self, name: str, report: Callable[[Loading], None]) -> ModelInfo:
        """Load a model and say what it is, now that its files are surely here."""
        if name not in self._families:
            try:
                # Not inference mode: tensors that are born in it take other matrix products than those of diffusers'
                # pipelines, which sum in another order.
                with torch.no_grad():
                    components = load_components(name, self._config, self.device, self.dtype, report)
                    family = read_model(name, self._config).family
                    self._families[name] = make_family(family, components, exact=self._config.exact)
            except torch.OutOfMemoryError as error:
                free_memory(self.device)
                beside = f" beside {', '.join(self._families)}" if self._families else ""
                raise GenerationFailed(
                    "model_too_large",
                    f"{name} does not fit into the memory of {self.device}{beside}. Configure fewer or smaller models.",
                    model=name,
                    device=str(self.device),
                ) from error
            log.info("%s is loaded on %s in %s", name, self.device, self.dtype)
        return read_model(name, self._config)

    def family(self, name: str) -> LoadedFamily:
        return self._families[name]

    def close(self) -> None:
        self._families.clear()
        free_memory(self.device)


def free_memory(device: torch.device) -> None:
    """Give what torch holds in reserve back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
