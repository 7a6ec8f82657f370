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
from engine.errors import EngineError
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
    """What `fourfold doctor` says of torch and the device."""

    torch_version: str
    device: str = ""
    """The torch device that the configured one resolves to; empty where `error` is set."""
    name: str = ""
    """The device's name for people."""
    memory_bytes: int = 0
    """Of a GPU; 0 where the device shares the machine's own memory."""
    dtype: str = ""
    """What the engine would compute in."""
    error: str | None = None
    """A sentence when torch does not load or does not have the device."""
    torchvision_error: str | None = None
    """A sentence when torchvision was built for another torch, which breaks every diffusers import."""


def describe_device(config: EngineConfig) -> DeviceReport:
    """Look at torch and the configured device and dtype; takes as long as importing torch, and never raises."""
    version = _installed("torch") or "not installed"
    try:
        # Imported here so that this module, which every command imports, does not load torch.
        from engine.worker import device as devices

        resolved = devices.resolve_device(config.device)
        dtype = devices.resolve_dtype(config, resolved)
    except (ImportError, OSError, EngineError) as error:  # OSError: one of torch's own libraries is missing.
        return DeviceReport(torch_version=version, error=str(error), torchvision_error=torchvision_error())
    return DeviceReport(
        torch_version=version,
        device=str(resolved),
        name=devices.device_name(resolved),
        memory_bytes=devices.device_memory(resolved),
        dtype=str(dtype).removeprefix("torch."),
        torchvision_error=torchvision_error(),
    )


def torchvision_error() -> str | None:
    """A sentence when the installed torchvision asks for another torch; imports neither."""
    torchvision, torch = _installed("torchvision"), _installed("torch")
    if torchvision is None or torch is None:
        return None
    requirements = [line.replace(" ", "") for line in metadata.requires("torchvision") or ()]
    wanted = next((line[len("torch==") :] for line in requirements if line.startswith("torch==")), None)
    if wanted is None or wanted.split(";")[0].split("+")[0] == torch.split("+")[0]:
        return None
    return (
        f"torchvision {torchvision} was built for torch {wanted}, but torch {torch} is installed; it breaks"
        f" every"
        " diffusers import. Uninstall torchvision: Fourfold does not need it."
    )


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
