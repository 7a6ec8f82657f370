"""How an engine is built, and what can be said of this machine without building one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata

from engine.async_engine import AsyncEngine
from engine.catalog import ModelInfo, list_models, read_model
from engine.config import EngineConfig
from engine.executor import DirectExecutor, WorkerInterface

__all__ = ["DeviceReport", "ModelInfo", "describe_device", "launch_engine", "list_models"]

log = logging.getLogger(__name__)


@asynccontextmanager
async def launch_engine(config: EngineConfig) -> AsyncIterator[AsyncEngine]:
    """An engine that takes requests at once, while its first model loads or downloads in the background.

    Raises:
        ModelUnavailable: a configured model does not exist or cannot be read, before anything is started.
    """
    models = await asyncio.to_thread(lambda: [read_model(name, config) for name in config.models])

    def make_worker() -> WorkerInterface:
        # Importing the worker imports torch and diffusers, seconds of work that the loader thread does.
        from engine.worker.worker import Worker

        return Worker(config)

    engine = AsyncEngine(DirectExecutor(make_worker), models, config)
    try:
        yield engine
    finally:
        await engine.close()


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """What `fourfold doctor` says of torch and the devices; memory in bytes."""

    torch_version: str
    device: str
    """What `auto` would choose."""
    dtype: str
    """What `auto` would choose on that device."""
    devices: tuple[tuple[str, int], ...]
    """Name and memory of every GPU; empty on a machine without one."""
    torchvision_problem: str | None
    """A sentence when a torchvision is installed that was built for another torch: it breaks every diffusers
    import.
    """


def describe_device() -> DeviceReport:
    """Look at torch and the devices; takes the seconds that importing torch takes. Raises ImportError without
    torch.
    """
    # Imported here so that this module, which every command imports, does not load torch.
    import torch

    from engine.worker.loader import resolve_device, resolve_dtype

    device = resolve_device("auto")
    count = torch.cuda.device_count()
    properties = [torch.cuda.get_device_properties(index) for index in range(count)]
    return DeviceReport(
        torch_version=torch.__version__,
        device=str(device),
        dtype=str(resolve_dtype(EngineConfig(), device)).removeprefix("torch."),
        devices=tuple((found.name, found.total_memory) for found in properties),
        torchvision_problem=torchvision_problem(),
    )


def torchvision_problem() -> str | None:
    """A sentence when an installed torchvision asks for another torch than the installed one; imports
    neither.
    """
    try:
        version = metadata.version("torchvision")
        wanted = next(
            (r for r in metadata.requires("torchvision") or () if r.replace(" ", "").startswith("torch==")),
            "",
        )
        torch_version = metadata.version("torch").split("+")[0]
    except metadata.PackageNotFoundError:
        return None
    wanted_version = wanted.replace(" ", "").partition("==")[2].split(";")[0].split("+")[0]
    if not wanted_version or wanted_version == torch_version:
        return None
    return (
        f"torchvision {version} was built for torch {wanted_version}, but torch {torch_version} is"
        f" installed; it breaks every"
        " diffusers import. Uninstall torchvision: Fourfold does not need it."
    )
