"""`fourfold doctor`: one line per check, and for each that fails what is wrong and how to mend it."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from bot.cli.engine_config import engine_config
from bot.errors import StartupError
from bot.settings import Settings, unknown_setting_sentence, unknown_settings
from engine import EngineConfig, EngineError
from engine.launch import DeviceReport, ModelInfo, describe_device, try_upscaler

TOKEN_SHAPE = re.compile(r"[\w-]{18,}\.[\w-]{6,}\.[\w-]{27,}")
LOW_DISK_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """What one check found; `good` None marks advice that stops nothing."""

    good: bool | None
    sentence: str


def main(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Run every check; 0 when nothing is broken, 1 otherwise."""
    broken = False
    for finding in _findings(settings):
        mark = {True: "ok  ", False: "FAIL", None: "note"}[finding.good]
        print(f"{mark}  {finding.sentence}")
        broken |= finding.good is False
    return int(broken)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from check_names()
    yield from check_token(settings)
    yield from check_origin(settings)
    yield from check_folders(settings)
    yield from check_databases(settings)
    # Not through `engine_config`: a wrong model name has a line of its own, below.
    device = describe_device(EngineConfig(device=settings.device, dtype=settings.dtype, exact=settings.exact))
    yield from check_device(device)
    yield from check_models(settings, device)
    yield from check_assistants(settings, device)


def check_names() -> Iterator[Finding]:
    """Every setting that was written is one that there is."""
    for name, nearest in unknown_settings().items():
        yield Finding(None, f"Settings: {unknown_setting_sentence(name, nearest)}")


def check_token(settings: Settings) -> Iterator[Finding]:
    """The token's presence and shape; whether Discord takes it shows when `fourfold run` logs in."""
    if settings.discord_token is None or not settings.discord_token.get_secret_value():
        yield Finding(
            None,
            "Token: DISCORD_TOKEN is not set. `fourfold play` does not need it; `fourfold run` does (see README).",
        )
    elif TOKEN_SHAPE.fullmatch(settings.discord_token.get_secret_value()):
        yield Finding(True, "Token: DISCORD_TOKEN has the shape of a bot token.")
    else:
        yield Finding(
            False,
            "Token: DISCORD_TOKEN does not look like a bot token (three parts with dots). Copy it again from the Bot page"
            " of the developer portal, with Reset Token; not the client secret, not the public key.",
        )


def check_origin(settings: Settings) -> Iterator[Finding]:
    """`fourfold run` would speak to the origin that FOURFOLD_DISCORD_API names; nothing is sent to it here."""
    if settings.discord_api is None:
        return
    from bot.client import use_origin

    try:
        use_origin(settings.discord_api, allow_remote=settings.discord_api_allow_remote)
    except StartupError as error:
        yield Finding(False, f"Discord: {error}")
    else:
        yield Finding(
            None, f"Discord: `fourfold run` speaks to {settings.discord_api} (FOURFOLD_DISCORD_API)."
        )


def check_folders(settings: Settings) -> Iterator[Finding]:
    """FOURFOLD_HOME can be written and has room."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home):
            pass
    except OSError as error:
        yield Finding(
            False,
            f"Folder: {home} cannot be written ({error.strerror or error}). Give your user write access, or set FOURFOLD_HOME"
            " to a folder that has it.",
        )
        return
    free = shutil.disk_usage(home).free
    if free < LOW_DISK_BYTES:
        yield Finding(
            False,
            f"Folder: {home} has {free / 1e9:.1f} GB left; pictures need room. Free some, or set FOURFOLD_HOME elsewhere.",
        )
    else:
        yield Finding(True, f"Folder: {home} can be written; {free / 1e9:,.0f} GB free.")


def check_databases(settings: Settings) -> Iterator[Finding]:
    """The databases open and are of a version that this Fourfold knows; they are neither made nor migrated here."""
    from bot.database import inspect_database

    play = settings.model_copy(update={"home": settings.home / "play"})
    for path in (settings.database_path, play.database_path):
        if not path.exists():
            if path == settings.database_path:
                yield Finding(True, f"Database: {path} will be made at the first start.")
            continue
        try:
            revision = inspect_database(path)
        except StartupError as error:
            yield Finding(False, f"Database: {error}")
        else:
            yield Finding(True, f"Database: {path} opens (revision {revision}).")


def check_device(device: DeviceReport) -> Iterator[Finding]:
    """torch loads, sees the configured device, and no torchvision stands beside it that breaks diffusers."""
    if device.error:
        yield Finding(False, f"Device: {device.error}")
    else:
        yield Finding(
            True,
            f"Device: {device.device} ({device.name}, {device.memory_bytes / 1e9:,.0f} GB memory),"
            f" torch {device.torch_version}, {device.dtype}.",
        )
    if device.torchvision_error:
        yield Finding(False, f"torchvision: {device.torchvision_error}")


def check_models(settings: Settings, device: DeviceReport) -> Iterator[Finding]:
    """Every configured model can be read and fits into the device's memory, or will be downloaded."""
    from engine.catalog import read_model

    try:
        config = engine_config(settings)
    except StartupError as error:
        yield Finding(False, f"Model: {error}")
        return
    together = 0
    for name in config.models:
        try:
            model = read_model(name, config)
        except EngineError as error:
            yield Finding(False, f"Model: {error}")
            continue
        together += model.memory_bytes
        yield _check_presence("Model", model, "FOURFOLD_MODEL", settings, device)
    if len(config.models) > 1 and 0 < device.memory_bytes < together:
        yield Finding(
            None,
            f"Models: together they need {together / 1e9:,.1f} GB, and {device.device} has"
            f" {device.memory_bytes / 1e9:,.1f} GB of memory; each stays there once it was asked for.",
        )


def check_assistants(settings: Settings, device: DeviceReport) -> Iterator[Finding]:
    """What enlarges and what compares pictures can be read and does what it is named for."""
    from engine.catalog import configured_clip, configured_upscaler

    try:
        config = engine_config(settings)
    except StartupError:
        return  # A line above says it.
    for label, read, setting in (
        ("Upscaler", configured_upscaler, "FOURFOLD_UPSCALER"),
        ("CLIP", configured_clip, "FOURFOLD_CLIP"),
    ):
        try:
            model = read(config)
            if model is not None and read is configured_upscaler and not device.error:
                try_upscaler(config)
        except EngineError as error:
            yield Finding(False, f"{label}: {error}")
            continue
        if model is not None:
            yield _check_presence(label, model, setting, settings, device)
        else:
            yield Finding(None, f"{label}: the embedded one is not here. Name another one in {setting}.")


def _check_presence(
    label: str, model: ModelInfo, setting: str, settings: Settings, device: DeviceReport
) -> Finding:
    if model.present and device.memory_bytes and model.memory_bytes > device.memory_bytes:
        return Finding(
            False,
            f"{label}: {model.title} needs {model.memory_bytes / 1e9:,.1f} GB for its weights alone, and {device.device} has"
            f" {device.memory_bytes / 1e9:,.1f} GB of memory. Name a smaller model in {setting}.",
        )
    if model.present:
        return Finding(True, f"{label}: {model.title} ({model.memory_bytes / 1e6:,.1f} MB, {model.family}).")
    if settings.offline:
        return Finding(
            False,
            f"{label}: {model.name} is not on disk, and FOURFOLD_OFFLINE forbids to download it. Start once without"
            f" FOURFOLD_OFFLINE, or name a folder or another model in {setting}.",
        )
    return Finding(None, f"{label}: {model.name} is not on disk; the first start downloads it from the hub.")
