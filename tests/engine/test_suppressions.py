"""Whatever silences a checker or swallows every exception says why, beside it."""

from __future__ import annotations

import re
from pathlib import Path

ENGINE = Path(__file__).parents[2] / "engine"
SILENCED = re.compile(r"except Exception|# type: ignore|# noqa")
DIRECTIVE = re.compile(r"# type: ignore(\[[\w-]+\])?|# noqa(: [A-Z]+\d+)?")


def test_every_suppression_has_its_reason() -> None:
    bare = []
    for file in sorted(ENGINE.rglob("*.py")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if SILENCED.search(line):
                comment = DIRECTIVE.sub("", line.partition("#")[1] + line.partition("#")[2])
                if len(re.findall(r"\w+", comment)) < 3:
                    bare.append(f"{file.relative_to(ENGINE)}:{number}: {line.strip()}")
    assert not bare
