"""The terminal's commands, run as a user runs them: in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def fourfold(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `fourfold` with its data in `home` and no .env file in reach."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("FOURFOLD_", "DISCORD_"))
    }
    return subprocess.run(
        [sys.executable, "-c", "import sys; from bot.cli import main; sys.exit(main())", *arguments],
        cwd=home,
        env={**clean, "FOURFOLD_HOME": str(home), "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    result = fourfold("--help", home=tmp_path)
    assert result.returncode == 0
    for command in ("play", "run", "imagine", "doctor", "models", "bench"):
        assert command in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["imagine", "", "-o", "x.png"]])
def test_commands_without_tensors_load_neither_torch_nor_discord(
    tmp_path: Path, arguments: list[str]
) -> None:
    code = (
        "import sys\nfrom bot.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'discord'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_models_lists_the_embedded_one_as_default(tmp_path: Path) -> None:
    result = fourfold("models", home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("fourfold-mini  (default)")


def test_imagine_writes_a_grid_with_its_parameters_inside(tmp_path: Path) -> None:
    result = fourfold(
        "imagine",
        "a red sailboat on a calm sea",
        "--seed",
        "7",
        "--n",
        "2",
        "-o",
        "two.png",
        "--json",
        home=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["seeds"] == [7, 8]
    assert report["prompt"] == "a red sailboat on a calm sea"
    with Image.open(tmp_path / "two.png") as image:
        assert image.width > image.height >= 256
        assert "Seed: 7" in image.text["parameters"]  # type: ignore[attr-defined]  # only PNGs have text


@pytest.mark.parametrize(
    ("arguments", "clue"),
    [
        (["imagine", "   "], "prompt"),
        (["imagine", "a cat --ar 0:1"], "--ar"),
        (["imagine", "a cat", "--seed", "-1"], "--seed"),
        (["imagine", "a cat --sed 3"], "--seed"),
        (["imagine", "a" * 4001], "4,000"),
        (["imagine", "a cat", "-o", "grid.gif"], ".png"),
        (["imagine", "a cat", "-o", "nowhere/grid.png"], "nowhere"),
        (["run"], "DISCORD_TOKEN"),
    ],
)
def test_bad_input_gets_one_clear_sentence(tmp_path: Path, arguments: list[str], clue: str) -> None:
    result = fourfold(*arguments, home=tmp_path)
    assert result.returncode == 1
    assert clue in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("arguments", "clue"), [(["--jobs", "3"], "8 or more"), (["-o", "file"], "file")])
def test_bench_refuses_before_it_measures(tmp_path: Path, arguments: list[str], clue: str) -> None:
    (tmp_path / "file").touch()
    result = fourfold("bench", *arguments, home=tmp_path)
    assert result.returncode in (1, 2)
    assert clue in result.stderr
    assert "Traceback" not in result.stderr


def test_the_prompt_comes_first(tmp_path: Path) -> None:
    result = fourfold("imagine", "--seed", "3", "a cat", home=tmp_path)
    assert result.returncode == 2
    assert "the prompt comes first" in result.stderr


@pytest.mark.parametrize("model", ["/nowhere/at/all", "old.ckpt", "a.safetensors"])
def test_models_names_what_cannot_be_used_and_lists_the_rest(tmp_path: Path, model: str) -> None:
    result = fourfold("models", home=tmp_path, FOURFOLD_MODEL=model)
    assert result.returncode == 1
    assert "cannot be used" in result.stdout
    assert "fourfold-mini" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_home_in_the_users_folder_is_found(tmp_path: Path) -> None:
    result = fourfold(
        "doctor",
        home=tmp_path,
        FOURFOLD_HOME="~/fourfold-data",
        HOME=str(tmp_path),
        USERPROFILE=str(tmp_path),
    )
    assert (tmp_path / "fourfold-data").is_dir(), result.stdout


def test_a_model_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    result = fourfold("imagine", "a cat", home=tmp_path, FOURFOLD_MODEL=str(tmp_path / "gone.safetensors"))
    assert result.returncode == 1
    assert "gone.safetensors" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("token", ["abc def\nx", "a b", "знак"])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(tmp_path: Path, token: str) -> None:
    result = fourfold("run", home=tmp_path, DISCORD_TOKEN=token)
    assert result.returncode == 1
    assert "DISCORD_TOKEN" in result.stderr
    assert token not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOURFOLD_MAX_RUNNING_PER_USER", "0"),
        ("FOURFOLD_DTYPE", "foo"),
        ("FOURFOLD_DEVICE", "the big one"),
        ("FOURFOLD_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path: Path, name: str, value: str) -> None:
    result = fourfold("models", home=tmp_path, **{name: value})
    assert result.returncode == 1
    assert name in result.stderr
    assert value in result.stderr


def test_doctor_is_content_with_a_fresh_home(tmp_path: Path) -> None:
    result = fourfold("doctor", home=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("Token", "Folder", "Database", "Device", "Model"):
        assert word in result.stdout


def test_doctor_names_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "fourfold.db").write_bytes(b"this is not a database at all")
    result = fourfold(
        "doctor",
        home=tmp_path,
        DISCORD_TOKEN="nonsense",
        FOURFOLD_MODEL=str(tmp_path / "old.ckpt"),
        FOURFOLD_DEVICE="cuda:7",
    )
    assert result.returncode == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["Token:", "Database:", "Device:", "Model:"]
    assert "nonsense" not in result.stdout


def test_a_file_of_settings_in_another_encoding_is_named(tmp_path: Path) -> None:
    """As the `>` of Windows PowerShell writes it."""
    (tmp_path / ".env").write_text("FOURFOLD_MODEL=x\n", encoding="utf-16")
    result = fourfold("models", home=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("fourfold: The file .env is not written in UTF-8:")
    assert "Traceback" not in result.stderr


def test_of_many_words_that_are_cut_off_a_few_are_named(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(200))
    result = fourfold("imagine", f"a cat {words}", "--n", "1", "-o", "cat.png", home=tmp_path)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Words past the end")]
    assert len(line.split(", ")) == 10
    assert line.endswith(" more.")
