"""The three gates: what each measures, what it asks, and the JSON report that says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from engine.training.scenes.spec import ATTRIBUTES

logger = logging.getLogger(__name__)

PROBE_FLOOR = 0.98
AUTOENCODER_SHARE = 0.97
PICTURES_SHARE = 0.95


def judge(name: str, scores: dict[str, float], floors: dict[str, float], file: Path, **facts: object) -> bool:
    """Write the report, log one line per attribute, and say whether every attribute reaches its floor."""
    missed = [attribute for attribute in ATTRIBUTES if scores[attribute] < floors[attribute]]
    report = {
        "gate": name,
        "passed": not missed,
        "scores": {k: round(v, 4) for k, v in scores.items()},
        "floors": {k: round(v, 4) for k, v in floors.items()},
        **facts,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for attribute in ATTRIBUTES:
        mark = "missed" if attribute in missed else "passed"
        logger.info(
            "gate %s: %s %.4f, asked %.4f: %s", name, attribute, scores[attribute], floors[attribute], mark
        )
    return not missed
