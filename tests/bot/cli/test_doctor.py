"""What `fourfold doctor` and `fourfold models` say of an installation with something wrong in it."""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file

from bot.cli import doctor, models
from bot.settings import Settings
from engine.config import EMBEDDED_MODEL
from tests.bot.cli.test_commands import fourfold
from tests.engine.test_launch import BROKEN, plant_torchvision

HUB_MODEL = "nobody/has-downloaded-this-xl"


def examine(capsys: pytest.CaptureFixture[str], home: Path, **settings: Any) -> tuple[int, list[str]]:
    """Exit status and lines, with `settings` by their names in Settings."""
    status = doctor.main(argparse.Namespace(), Settings(home=home, **settings))
    return status, capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env file, and nothing in the hub's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def only(lines: list[str], start: str) -> str:
    (line,) = (line for line in lines if line.startswith(start))
    return line


def test_a_model_that_does_not_fit_into_memory_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    status, lines = examine(capsys, tmp_path, device="cpu")
    assert status == 0
    assert f"{memory.total / 1e9:,.0f} GB memory" in only(lines, "ok    Device:")
    memory = memory._replace(total=1_000_000)
    status, lines = examine(capsys, tmp_path, device="cpu")
    assert status == 1
    assert "smaller model" in only(lines, "FAIL  Model:")


def test_a_model_that_may_not_be_downloaded_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, lines = examine(capsys, tmp_path, model=HUB_MODEL)
    assert status == 0
    assert HUB_MODEL in only(lines, "note  Model:")
    status, lines = examine(capsys, tmp_path, model=HUB_MODEL, offline=True)
    assert status == 1
    assert "Start once without FOURFOLD_OFFLINE" in only(lines, "FAIL  Model:")


def test_what_enlarges_and_what_compares_is_examined(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, lines = examine(capsys, tmp_path, device="cpu")
    assert status == 0
    assert only(lines, "ok    Upscaler:")
    assert only(lines, "ok    CLIP:")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    save_file({"conv_first.weight": torch.zeros(2, 2)}, tmp_path / "x4.safetensors")
    status, lines = examine(
        capsys, tmp_path, upscaler=str(tmp_path / "x4.safetensors"), clip=EMBEDDED_MODEL, device="cpu"
    )
    assert status == 1
    assert "pip install -e '.[upscalers]'" in only(lines, "FAIL  Upscaler:")
    assert "compares nothing" in only(lines, "FAIL  CLIP:")
    status, lines = examine(capsys, tmp_path, upscaler="none.safetensors", clip="nobody/clip", device="cpu")
    assert status == 1
    assert "Check FOURFOLD_UPSCALER" in only(lines, "FAIL  Upscaler:")
    assert "the first start downloads it" in only(lines, "note  CLIP:")


@pytest.mark.parametrize("origin", ["http://example.com", "127.0.0.1:80"])
def test_an_origin_that_run_refuses_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, origin: str
) -> None:
    status, lines = examine(capsys, tmp_path, discord_api=origin)
    assert status == 1
    assert repr(origin) in only(lines, "FAIL  Discord:")


def test_a_model_setting_that_names_nothing_is_one_line_among_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, lines = examine(capsys, tmp_path, model=",", device="cpu")
    assert status == 1
    assert "FOURFOLD_MODEL is empty" in only(lines, "FAIL  Model:")
    assert only(lines, "ok    Device:")


def test_the_database_of_play_is_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    database = tmp_path / "play" / "fourfold.db"
    database.parent.mkdir()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    status, lines = examine(capsys, tmp_path)
    assert status == 1
    assert str(database) in only(lines, "FAIL  Database:")
    assert "newer" in only(lines, "FAIL  Database:")


def test_a_broken_torchvision_is_named_by_doctor_and_by_imagine(tmp_path: Path) -> None:
    plant_torchvision(tmp_path / "site", BROKEN)
    result = fourfold("doctor", home=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert result.returncode == 1
    line = only(result.stdout.splitlines(), "FAIL")
    assert "operator torchvision::nms does not exist" in line
    assert "pip uninstall torchvision" in line
    result = fourfold("imagine", "a cat", home=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert result.returncode == 1
    assert "pip uninstall torchvision" in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_is_made_up_of_a_model_that_is_not_downloaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, model=HUB_MODEL)
    assert models.main(argparse.Namespace(), settings) == 0
    about, rest = capsys.readouterr().out.split(f"{EMBEDDED_MODEL}  (")
    assert about.splitlines() == [
        f"{HUB_MODEL}  (default)",
        "  not downloaded yet; its family, size, licence and samplers are known after the download",
    ]
    assert " px " in rest


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path) -> None:
    # The reader is gone before the first line is written, so that no buffer of the pipe hides it.
    code = (
        "import os, sys\nfrom bot.cli import main\n"
        "reader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 1)\nsys.exit(main(['models']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.returncode == 141
