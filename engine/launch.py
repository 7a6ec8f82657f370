"""How an engine is built, and what can be said of this machine without building one."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata

import psutil

from engine.async_engine import AsyncEngine
from engine.catalog import ModelInfo, configured_models, list_models, locate_model
from engine.config import EngineConfig
from engine.errors import EngineError, GenerationFailed
from engine.executor import DirectExecutor, WorkerInterface

__all__ = ["DeviceReport", "ModelInfo", "describe_device", "launch_engine", "list_models", "try_upscaler"]

log = logging.getLogger(__name__)

_IMPORT_SECONDS = 120
"""torchvision brings torch along, which a cold disk takes long to read."""


@asynccontextmanager
async def launch_engine(config: EngineConfig) -> AsyncIterator[AsyncEngine]:
    """An engine that takes requests at once, while its first model loads or downloads in the background.

    Raises:
        ModelUnavailable: a configured model does not exist or cannot be read, before anything is started.
    """
    models = await asyncio.to_thread(configured_models, config)

    def make_worker() -> WorkerInterface:
        # Importing the worker imports torch and diffusers, seconds of work that the loader thread does.
        try:
            from engine.worker.worker import Worker
        except (ImportError, RuntimeError) as error:
            # diffusers tells of a class that it cannot import, never that torchvision is why.
            reason = torchvision_error()
            if reason is None:
                raise
            raise GenerationFailed(
                "model_load_failed", f"No model can be loaded. {reason}", reason=reason
            ) from error
        return Worker(config)

    engine = AsyncEngine(DirectExecutor(make_worker), models, config)
    try:
        yield engine
    finally:
        await engine.close()


def try_upscaler(config: EngineConfig) -> None:
    """Read the network that enlarges as the worker will: what only its weights tell, and whether spandrel is here for it.

    Raises:
        ModelUnavailable: it cannot be read, or enlarges no colour pictures.
    """
    # Imported here so that this module, which every command imports, does not load torch.
    from engine.worker.upscalers import try_to_read

    path = locate_model(config.upscaler, config)
    if path is not None:
        try_to_read(config.upscaler, path)


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """What `fourfold doctor` says of torch and the device."""

    torch_version: str
    device: str = ""
    """The torch device that the configured one resolves to; empty where `error` is set."""
    name: str = ""
    """The device's name for people."""
    memory_bytes: int = 0
    """Of a GPU, or of the machine where the device shares its memory; 0 where `error` is set."""
    dtype: str = ""
    """What the engine would compute in."""
    error: str | None = None
    """A sentence when torch does not load or does not have the device."""
    torchvision_error: str | None = None
    """A sentence when the torchvision that is here cannot be imported, which breaks every diffusers import."""


def describe_device(config: EngineConfig) -> DeviceReport:
    """Look at torch and the configured device and dtype; takes as long as importing torch, and never raises."""
    version = _installed("torch") or "not installed"
    try:
        # Imported here so that this module, which every command imports, does not load torch.
        from engine.worker import device as devices

        resolved = devices.resolve_device(config.device)
        dtype = devices.resolve_dtype(config, resolved)
    except (ImportError, OSError) as error:  # OSError: one of torch's own libraries is missing.
        # torchvision could not be imported either, and is not to blame.
        return DeviceReport(torch_version=version, error=f"torch {version} cannot be imported: {error}")
    except EngineError as error:
        return DeviceReport(torch_version=version, error=str(error), torchvision_error=torchvision_error())
    return DeviceReport(
        torch_version=version,
        device=str(resolved),
        name=devices.device_name(resolved),
        memory_bytes=devices.device_memory(resolved) or psutil.virtual_memory().total,
        dtype=str(dtype).removeprefix("torch."),
        torchvision_error=torchvision_error(),
    )


def torchvision_error() -> str | None:
    """A sentence when torchvision is here and cannot be imported: diffusers then imports nothing at all.

    It is tried in a process of its own, because a failed import leaves torch with half of its operators registered.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        # What transformers imports of it.
        attempt = subprocess.run(
            [sys.executable, "-c", "import torchvision.io, torchvision.transforms.v2"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"the import took longer than {_IMPORT_SECONDS} seconds"
    else:
        if attempt.returncode == 0:
            return None
        lines = attempt.stderr.split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), None) or (
            f"the import ended with status {attempt.returncode}"
        )
    return (
        f"torchvision {_installed('torchvision') or '(of unknown version)'} cannot be imported beside torch"
        f" {_installed('torch') or '(not installed)'}, and diffusers cannot do without what it finds: {reason.rstrip('.')}."
        " Run `pip uninstall torchvision`: Fourfold does not need it."
    )


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
