"""What a host may write into `.env`, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.cli import main
from bot.cli.engine_config import engine_config
from bot.errors import StartupError
from bot.settings import Settings, unknown_settings


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("FOURFOLD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FOURFOLD_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FOURFOLD_ROW_BUDGET", "1", "greater than or equal to 2"),
        ("FOURFOLD_DEVICE", "my card", "it can be auto, cpu, cuda, mps"),
        ("FOURFOLD_MEMORY_BUDGET", "viel", "such as 8GB or 500MB"),
        ("FOURFOLD_MEMORY_BUDGET", "0", "such as 8GB or 500MB"),
    ],
)
def test_a_wrong_setting_is_told_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["models"]) == 1
    told = capsys.readouterr().err
    assert name in told
    assert said in told


def test_settings_are_read_whatever_their_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_DEVICE", "CUDA:1")
    monkeypatch.setenv("FOURFOLD_LOG_LEVEL", "debug")
    monkeypatch.setenv("FOURFOLD_MEMORY_BUDGET", "8GB")
    settings = Settings()
    assert (settings.device, settings.log_level, settings.memory_budget) == ("cuda:1", "DEBUG", 8_000_000_000)


@pytest.mark.parametrize(
    "other", [{"FOURFOLD_DTYPE": "bfloat16"}, {"FOURFOLD_DTYPE": "float16"}, {"FOURFOLD_COMPILE": "1"}]
)
def test_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    monkeypatch.setenv("FOURFOLD_EXACT", "1")
    engine_config(Settings())
    for name, value in other.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartupError) as caught:
        engine_config(Settings())
    assert next(iter(other)) in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("FOURFOLD_ROWBUDGET", "FOURFOLD_ROW_BUDGET"),
        ("FOURFOLD_MODEL_CONFIG_DIR", "FOURFOLD_MODEL_CONFIG"),
        ("FOURFOLD_DISCORD_TOKEN", "DISCORD_TOKEN"),
        ("FOURFOLD_TOKEN", "DISCORD_TOKEN"),
        ("FOURFOLD_LOGLEVEL", "FOURFOLD_LOG_LEVEL"),
        ("FOURFOLD_QQQ", ""),
    ],
)
def test_the_name_that_was_meant_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, meant: str
) -> None:
    assert unknown_settings() == {}
    monkeypatch.setenv(written, "8")
    assert unknown_settings() == {written: meant}
    monkeypatch.delenv(written)
    (tmp_path / ".env").write_text(f"{written.lower()}=8\nFOURFOLD_HOME=there\nOTHER=1\n")
    assert unknown_settings() == {written: meant}


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_a_misspelt_setting_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("FOURFOLD_ROWBUDGET", "8")
    (tmp_path / ".env").write_text("FOURFOLD_ROWBUDGET=8\n")
    assert main([command]) == 0
    captured = capsys.readouterr()
    told = captured.out + captured.err
    assert told.count("FOURFOLD_ROWBUDGET") == 1
    assert "did you mean FOURFOLD_ROW_BUDGET?" in told
