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
from bot.settings import Settings
from engine import EngineError

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
    for check in (check_token, check_folders, check_database, check_torch, check_models):
        for finding in check(settings):
            mark = {True: "ok  ", False: "FAIL", None: "note"}[finding.good]
            print(f"{mark}  {finding.sentence}")
            broken |= finding.good is False
    return int(broken)


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


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database opens and is of a version that this Fourfold knows; it is neither made nor migrated here."""
    from bot.database import inspect_database

    path = settings.database_path
    if not path.exists():
        yield Finding(True, f"Database: {path} will be made at the first start.")
        return
    try:
        revision = inspect_database(path)
    except StartupError as error:
        yield Finding(False, f"Database: {error}")
    else:
        yield Finding(True, f"Database: {path} opens (revision {revision}).")


def check_torch(settings: Settings) -> Iterator[Finding]:
    """torch loads, sees the configured device, and no mismatched torchvision stands beside it."""
    from engine.launch import describe_device

    device = describe_device(engine_config(settings))
    if device.error:
        yield Finding(False, f"Device: {device.error}")
    else:
        memory = f", {device.memory_bytes / 1e9:,.0f} GB memory" if device.memory_bytes else ""
        yield Finding(
            True,
            f"Device: {device.device} ({device.name}{memory}), torch {device.torch_version}, {device.dtype}.",
        )
    if device.torchvision_error:
        yield Finding(False, f"torchvision: {device.torchvision_error}")


def check_models(settings: Settings) -> Iterator[Finding]:
    """Every configured model can be read, or will be downloaded."""
    from engine.catalog import read_model

    try:
        config = engine_config(settings)
    except StartupError as error:
        yield Finding(False, f"Model: {error}")
        return
    for name in config.models:
        try:
            model = read_model(name, config)
        except EngineError as error:
            yield Finding(False, f"Model: {error}")
            continue
        if model.present:
            yield Finding(True, f"Model: {model.title} ({model.memory_bytes / 1e6:,.0f} MB, {model.family}).")
        else:
            yield Finding(None, f"Model: {name} is not on disk; the first start downloads it from the hub.")
