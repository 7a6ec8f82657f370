"""The models on the device: what they take of it, how they get there and how they leave.

Which of them go to make room is decided in `engine.placement`; here is what that costs and what is done about it.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from engine.catalog import ModelInfo, read_model
from engine.config import EngineConfig
from engine.errors import EngineError, GenerationFailed, ModelUnavailable
from engine.output import Loading
from engine.worker.compiled import stop_compiling
from engine.worker.device import is_out_of_memory, memory_budget, resolve_device, resolve_dtype
from engine.worker.footprint import measure
from engine.worker.interface import LoadedFamily
from engine.worker.load_errors import check_weights, led_to
from engine.worker.loader import Components, fetch_model, load_components
from engine.worker.offload import can_offload, offload
from engine.worker.registry import make_family
from engine.worker.second_try import not_finite

log = logging.getLogger(__name__)

OFFLOAD = ("auto", "always", "never")
_STOPPING_SECONDS = 2.0
"""How long closing waits for a compiler that is being stopped."""


class Residency:
    """Loaded models by name. `fetch` and `load` run on loader threads, the rest on the engine thread."""

    def __init__(self, config: EngineConfig) -> None:
        if config.offload not in OFFLOAD:
            raise ModelUnavailable(
                "offload_unknown",
                f"The offload setting {config.offload} is not one of {', '.join(OFFLOAD)}.",
                offload=config.offload,
            )
        self._config = config
        self.device = resolve_device(config.device)
        self.dtype = resolve_dtype(config, self.device)
        self.budget = memory_budget(config, self.device)
        """Most bytes that weights may take of the device's memory."""
        self.can_offload = can_offload(self.device)
        if config.offload == "always" and not self.can_offload:
            log.warning(
                "offload is without effect: %s computes in the machine's own memory, where the weights lie anyway",
                self.device,
            )
        if config.exact:
            # NVIDIA's convolutions otherwise round float32 inputs to 10 bits of mantissa.
            torch.backends.cudnn.allow_tf32 = False
        self._families: dict[str, LoadedFamily] = {}
        self._components: dict[str, Components] = {}
        self._offloaded: dict[str, bool] = {}
        """Whether the models that have been fetched are loaded with offload."""
        self._originals: dict[str, str] = {}
        """Names of copies in float32 → of what they are copies."""

    def in_float32(self, name: str) -> str:
        """What a copy of a model that computes in float32 is called: it is fetched, loaded and evicted by that name."""
        copy = f"{name} in float32"
        self._originals[copy] = name
        return copy

    def fetch(self, name: str, report: Callable[[Loading], None]) -> int:
        """Download a model where needed; the bytes it will take of the device's memory.

        Raises:
            ModelUnavailable: its files cannot be read. GenerationFailed: the download failed, or it does not fit.
        """
        if name in self._originals:
            report = _in_silence
        path = fetch_model(self._originals.get(name, name), self._config, report)
        check_weights(path)
        footprint = measure(path, self._dtype_of(name), self._config)
        fits = footprint.whole <= self.budget
        offloads = self.can_offload and (
            self._config.offload == "always" or (self._config.offload == "auto" and not fits)
        )
        needed = footprint.offloaded if offloads else footprint.whole
        if needed > self.budget:
            raise self._too_large(name, needed, offloads=offloads)
        if offloads and not fits:
            log.info("%s does not fit whole; its weights stay in the machine's memory (offload)", name)
        self._offloaded[name] = offloads
        return needed

    def load(self, name: str, report: Callable[[Loading], None]) -> ModelInfo:
        """Load a model and say what it is, now that its files are surely here."""
        original, config, dtype = self._originals.get(name, name), self._config, self._dtype_of(name)
        if original != name:
            # Whoever waits for a copy has seen his picture begin, and compiling takes longer than a few pictures.
            report, config = _in_silence, replace(config, compile=False)
        if name not in self._families:
            if name not in self._offloaded:
                self.fetch(name, report)
            try:
                # Not inference mode: tensors that are born in it take other matrix products than those of diffusers'
                # pipelines, which sum in another order.
                with torch.no_grad():
                    components = load_components(
                        original, config, self.device, dtype, report, offloaded=self._offloaded[name]
                    )
                    family = read_model(original, config).family
                    made = make_family(family, components, exact=config.exact)
                    self._components[name], self._families[name] = components, made
            except EngineError:
                raise
            except Exception as error:  # Of any kind, as memory that ran out hides behind others.
                problem = next(filter(is_out_of_memory, led_to(error)), None)
                if problem is None:
                    raise
                for each in led_to(error):
                    each.__traceback__ = None  # Its frames hold what was loaded so far.
                free_memory(self.device)
                raise self._no_memory(name, problem) from error
            log.info("%s is loaded on %s in %s", original, self.device, dtype)
        return read_model(original, config)

    @contextmanager
    def explaining(self, name: str) -> Iterator[None]:
        """Tell what goes wrong with a copy within as the failure of the pictures that need it."""
        try:
            yield
        except EngineError as error:
            raise (not_finite(str(error)) if name in self._originals else error) from error

    def family(self, name: str) -> LoadedFamily:
        return self._families[name]

    def holds(self, name: str) -> bool:
        """Whether a model is loaded."""
        return name in self._families

    def evict(self, name: str) -> None:
        """Give a model's memory back. Its weights go even where something still refers to the model."""
        components = self._components.pop(name)
        del self._families[name]
        stop_compiling(components.modules().values(), patience=0)
        for module in components.modules().values():
            module.to("meta")
        del components
        log.info("%s has left the device", name)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def offload(self, name: str) -> bool:
        """Take a loaded model's weights off the device until they are needed; False where that cannot help (any more)."""
        if not self.can_offload or self._config.offload == "never" or self._offloaded[name]:
            return False
        if self._components[name].compiles:
            return False  # What was compiled expects its weights on the device.
        self._offloaded[name] = True
        offload(self._components[name].modules(), self.device)
        free_memory(self.device)
        return True

    def close(self) -> None:
        modules = [module for each in self._components.values() for module in each.modules().values()]
        stop_compiling(modules, patience=_STOPPING_SECONDS)
        self._families.clear()
        self._components.clear()
        free_memory(self.device)

    def _dtype_of(self, name: str) -> torch.dtype:
        return torch.float32 if name in self._originals else self.dtype

    def _no_memory(self, name: str, problem: BaseException) -> GenerationFailed:
        """What to do where the memory ran out while a model was loaded."""
        advice = "Configure fewer or smaller models, or close other programs."
        memory = "the machine's memory"
        if isinstance(problem, torch.OutOfMemoryError):  # Of a graphics card, which has memory of its own.
            memory = f"the memory of {self.device}"
            if self.can_offload and not self._offloaded[name]:
                advice = "Configure fewer or smaller models, or set FOURFOLD_OFFLOAD=always."
        beside = f" beside {', '.join(self._families)}" if self._families else ""
        return GenerationFailed(
            "model_too_large",
            f"{name} does not fit into {memory}{beside}. {advice}",
            model=name,
            device=str(self.device),
            reason=str(problem),
        )

    def _too_large(self, name: str, needed: int, *, offloads: bool) -> GenerationFailed:
        """What it needs, what there is, and what can be done."""
        what = "at least, with offload," if offloads else ""
        dtype = str(self._dtype_of(name)).removeprefix("torch.")
        advice = "Configure a smaller model, or raise FOURFOLD_MEMORY_BUDGET where the device has more."
        if not offloads and not self.can_offload:
            advice += f" Offload cannot help: {self.device} computes in the machine's own memory."
        elif not offloads:
            advice += " FOURFOLD_OFFLOAD=auto may help."
        return GenerationFailed(
            "model_too_large",
            f"{name} needs {_gigabytes(needed)} of the memory of {self.device} {what}".rstrip()
            + f" in {dtype}, and models may take {_gigabytes(self.budget)} of it. {advice}",
            model=name,
            device=str(self.device),
            needed=needed,
            budget=self.budget,
        )


def _in_silence(_: Loading) -> None:
    """For copies: their original is loaded, and no request is told otherwise."""


def free_memory(device: torch.device) -> None:
    """Give what torch holds in reserve back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.2f} MB"
