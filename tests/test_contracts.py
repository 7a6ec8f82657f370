"""The import contracts hold, and each of them catches the violation it is there for.

A contract that passes proves little; every row below plants one forbidden import into a copy of the tree and expects
exactly that contract to break.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PLANTED = [
    ("bot-on-engine", "engine/scheduler.py", "import bot.errors"),
    ("bot-layers", "bot/domain/job.py", "import bot.services"),
    ("bot-layers", "bot/services/__init__.py", "import bot.views"),
    ("bot-layers", "bot/cogs/__init__.py", "import bot.delivery"),
    ("bot-layers", "bot/prompting/__init__.py", "import bot.database"),
    ("bot-layers", "bot/utils.py", ""),
    ("playground-apart", "bot/playground/__init__.py", "import bot.errors"),
    ("nothing-on-playground", "bot/services/__init__.py", "import bot.playground"),
    ("engine-layers", "engine/worker/__init__.py", "import engine.core"),
    ("engine-layers", "engine/scheduler.py", "import engine.executor"),
    ("engine-layers", "engine/scheduler.py", "import engine.forecast"),
    ("engine-layers", "engine/helpers.py", ""),
    ("who-imports-engine", "bot/cogs/__init__.py", "import engine"),
    ("who-imports-engine", "bot/delivery/__init__.py", "from engine import Safety"),
    ("engine-front-door", "bot/services/__init__.py", "import engine.scheduler"),
    ("engine-launch", "bot/services/__init__.py", "import engine.launch"),
    ("engine-benchmark", "bot/services/__init__.py", "import engine.benchmark"),
    ("engine-worker", "engine/core.py", "import engine.worker.worker"),
    ("engine-no-edge", "engine/worker/loader.py", "import aiohttp"),
    ("torch-in-the-device-plane", "engine/scheduler.py", "import torch"),
    ("torch-in-the-device-plane", "engine/forecast.py", "import torch"),
    ("torch-in-the-device-plane", "engine/paces.py", "import torch"),
    ("torch-in-the-device-plane", "engine/waiting.py", "import torch"),
    ("front-door-without-torch", "engine/__init__.py", "import engine.launch"),
    ("torch-not-in-bot", "bot/services/__init__.py", "import torch"),
    ("discord-at-the-edge", "bot/services/__init__.py", "import discord"),
    ("sql-in-database", "bot/services/__init__.py", "import sqlalchemy"),
    ("no-cycles", "bot/texts/__init__.py", "import bot.services"),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in `folder`."""
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the two packages and their contracts."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("bot", "engine"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "embedded", "page")
        )
    return folder


def test_contracts_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def contract_names() -> dict[str, str]:
    """Contract id → name, as pyproject.toml has them."""
    import tomllib

    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in table["tool"]["importlinter"]["contracts"]}


@pytest.mark.parametrize(("contract", "path", "line"), PLANTED)
def test_a_planted_violation_is_caught(copy: Path, contract: str, path: str, line: str) -> None:
    target = copy / path
    before = target.read_text(encoding="utf-8") if target.exists() else None
    if before is None:
        assert not line, f"{path} does not exist: the row is out of date"
    try:
        target.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
        result = lint(copy)
    finally:
        if before is None:
            target.unlink()
        else:
            target.write_text(before, encoding="utf-8")
    assert result.returncode != 0
    name = contract_names()[contract]
    broken = f"{name} BROKEN" in result.stdout
    undeclared = not line and "exhaustive" in (result.stdout + result.stderr).lower()
    assert broken or undeclared, result.stdout + result.stderr


def test_independent_families_are_caught(copy: Path) -> None:
    """With one family the independence contract is vacuous; a second one that imports the first breaks it."""
    second = copy / "engine/worker/models/second.py"
    second.write_text("import engine.worker.models.stable_diffusion\n", encoding="utf-8")
    try:
        result = lint(copy)
    finally:
        second.unlink()
    assert f"{contract_names()['families-apart']} BROKEN" in result.stdout, result.stdout + result.stderr


def test_every_contract_has_a_planted_violation() -> None:
    assert set(contract_names()) == {contract for contract, _, _ in PLANTED} | {"families-apart"}
