"""The gates: what each measures, what it asks, and the JSON report that says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

PROBE_FLOOR = 0.98
"""On real renders of one figure, which is what the gate of pictures compares with; the small figures of three hide each other."""
RETRIEVAL_FLOOR = 0.95
UPSCALER_GAIN = 2.0
"""In dB of PSNR over Lanczos."""
AUTOENCODER_SHARE = 0.97
PICTURES_SHARE = 0.98
"""Of what the probe reads off real renders, for pictures of one figure."""
SHORT_WAY_SHARE = 0.9
"""The same for few steps, and for a cascade, which draws after embeddings."""
FIGURES_FLOORS = {"two": 0.85, "unseen": 0.9}
"""By the evaluation's groups: all subjects and colours right and in their places, and nothing more."""
ATTRIBUTES = ("subject", "colour", "setting", "time", "weather", "style")
"""What the gates of pictures ask for, each by itself."""


def judge(name: str, scores: dict[str, float], floors: dict[str, float], file: Path, **facts: object) -> bool:
    """Write the report, log one line for each, and say whether everything that has a floor reaches it."""
    missed = [attribute for attribute in floors if scores[attribute] < floors[attribute]]
    report = {
        "gate": name,
        "passed": not missed,
        "scores": {k: round(v, 4) for k, v in scores.items()},
        "floors": {k: round(v, 4) for k, v in floors.items()},
        **facts,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for attribute in floors:
        mark = "missed" if attribute in missed else "passed"
        logger.info(
            "gate %s: %s %.4f, asked %.4f: %s", name, attribute, scores[attribute], floors[attribute], mark
        )
    return not missed
