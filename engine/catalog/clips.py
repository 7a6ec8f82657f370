"""Which folders hold a contrastive text–image model: transformers' own layout of a CLIPModel."""

from __future__ import annotations

from pathlib import Path

from engine.catalog.files import read_json

WEIGHTS = "model.safetensors"
PHRASES = "phrases.json"
"""Beside the weights: what the model describes pictures with, where it has words of its own."""


def is_clip_folder(folder: Path) -> bool:
    """Whether it holds a CLIPModel with its text and its image tower."""
    config = folder / "config.json"
    if (folder / "model_index.json").is_file() or not config.is_file():
        return False
    return read_json(config).get("model_type") == "clip"
