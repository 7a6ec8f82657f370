"""What a host may write into `.env`, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli import main
from bot.cli.engine_config import engine_config
from bot.errors import StartupError
from bot.settings import Settings


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
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
