"""Checkpoints: all a stage needs to go on as if it had never stopped; a crash while writing leaves the old one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Write `state` beside `file`, sync, then replace: there is a whole checkpoint at every moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def load_checkpoint(file: Path, device: torch.device) -> dict[str, Any] | None:
    """The stage's last state with its tensors on `device`, whatever device wrote it; None where it never ran."""
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    return state
