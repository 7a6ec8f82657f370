"""One command checks everything: format, lint, types, and that documents and tables say what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from bot.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("bot/**/*.py"), *ROOT.glob("engine/**/*.py")]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_tool_is_content(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_env_example_lists_every_setting() -> None:
    listed = set(
        re.findall(r"^#?\s?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    )
    wanted = {
        str(field.validation_alias) if field.validation_alias else f"FOURFOLD_{name.upper()}"
        for name, field in Settings.model_fields.items()
    }
    assert listed == wanted


def test_env_example_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied unedited to `.env`, the example leaves every default as it is."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FOURFOLD_{name.upper()}", raising=False)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.delenv("FOURFOLD_MODEL_CONFIG", raising=False)
    example = Settings(_env_file=ROOT / ".env.example")  # type: ignore[call-arg]
    assert example == Settings(_env_file=None)  # type: ignore[call-arg]


def test_readme_names_every_setting_and_parameter() -> None:
    from bot.prompting import PARAMETERS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        alias = str(field.validation_alias) if field.validation_alias else f"FOURFOLD_{name.upper()}"
        assert f"`{alias}`" in readme, f"README does not name {alias}"
    for parameter in PARAMETERS:
        assert f"`--{parameter.name}" in readme, f"README does not name --{parameter.name}"


def readme_rows(heading: str) -> list[list[str]]:
    """The cells of README's table whose first heading is this."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index(f"| {heading} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table]


def test_readme_gives_every_default_as_it_is() -> None:
    words = {
        "the platform's user data folder": None,
        "–": None,
        "chosen for the device": None,
        "measured": None,
        "Discord": None,
    }
    fields = {
        str(field.validation_alias) if field.validation_alias else f"FOURFOLD_{name.upper()}": field
        for name, field in Settings.model_fields.items()
    }
    for setting, default, _ in readme_rows("setting"):
        field = fields[setting.strip("`")]
        if default in words:
            assert field.default is None or field.default_factory is not None, setting
        else:
            assert default.strip("`") == str(field.default).lower() or default.strip("`") == field.default, (
                setting
            )


def test_readme_lists_every_command() -> None:
    from bot.cogs import COMMANDS

    assert {row[0].strip("`/").split()[0] for row in readme_rows("command")} == {
        command.name for command in COMMANDS
    }


@pytest.mark.parametrize("marker", ["play", "test"])
def test_readmes_one_command_is_one_line_that_exists(marker: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- command: {marker} -->\n```bash\n(.+)\n```", readme)
    assert found
    last = found[1].split("&&")[-1].split()
    assert last == ([".venv/bin/fourfold", "play"] if marker == "play" else [".venv/bin/pytest"])


COMPOSED_TEXTS = {
    "word.second": "bot/texts/__init__.py",
    "word.seconds": "bot/texts/__init__.py",
    "word.minute": "bot/texts/__init__.py",
    "word.minutes": "bot/texts/__init__.py",
    "word.hour": "bot/texts/__init__.py",
    "word.hours": "bot/texts/__init__.py",
    "message.job_waiting": "bot/cogs/about.py",
    "message.job_running": "bot/cogs/about.py",
}
"""Sentences whose codes are put together at run time, and the module that does it."""


def sentences() -> dict[str, str]:
    """Every English sentence by its code."""
    found: dict[str, str] = {}
    for file in (ROOT / "bot/texts/en").glob("*.toml"):
        for section, rows in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found |= {f"{section}.{code}": sentence for code, sentence in rows.items()}
    return found


def said() -> Iterator[tuple[str, ast.Call]]:
    """Every code that stands in a call of `say` or `UserError`, with the call."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            first = node.args[0]
            if name in ("say", "UserError") and isinstance(first, ast.Constant):
                yield (str(first.value) if name == "say" else f"error.{first.value}"), node


def test_every_text_code_in_the_source_exists_and_none_is_dead() -> None:
    used = {code for code, _ in said()}
    assert used - sentences().keys() == set(), "codes without a sentence"
    # Tables name whole codes that are said elsewhere: `help="parameter.seed_help"`.
    whole = {
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not COMPOSED_TEXTS.keys() & (used | whole), "no longer composed"
    for code, module in COMPOSED_TEXTS.items():
        table = code.partition(".")[0]
        assert re.search(rf'say\(f"{table}\.', (ROOT / module).read_text(encoding="utf-8")), module
    assert sentences().keys() - used - whole - COMPOSED_TEXTS.keys() == set(), "sentences that nothing says"


def test_every_sentence_is_given_the_values_it_asks_for() -> None:
    for code, call in said():
        given = {keyword.arg for keyword in call.keywords}
        if None not in given:  # `**values` says nothing here
            wanted = {name for _, name, _, _ in Formatter().parse(sentences()[code]) if name}
            assert wanted <= given, f"{code} asks for {wanted - given}"


def test_no_registry_host_or_machine_path_is_named() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    hosts = re.compile(r"(pypi|pythonhosted|debian|npmjs)\.(org|com)|/(root|home)/\w+/")
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".js", ".css", ".html", ".json"} or name == ".ci/run":
            if path == Path(__file__):
                continue
            found = hosts.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found.group() if found else ''}"
