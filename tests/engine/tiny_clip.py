"""A tiny random CLIPModel in transformers' own layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig

from tests.engine.tiny import clip_config, tiny_tokenizer
from tests.engine.tiny_cascade import WIDTH, WINDOW, make_image_processor

PHRASES: dict[str, Any] = {
    "groups": [
        {"phrases": ["ink", "chalk"], "place": 3},
        {"phrases": ["a red cat", "a blue dog", "a hen"], "place": 1},
        {"phrases": ["at noon", "at sea"], "place": 2, "lead": " "},
    ]
}


def write_tiny_clip(folder: Path, phrases: dict[str, Any] | None = PHRASES, seed: int = 0) -> Path:
    """`phrases`: its own; None: it describes with the usual ones."""
    torch.manual_seed(seed)
    text = clip_config(WINDOW, projection_dim=WIDTH, hidden_size=WIDTH)
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=37,
        projection_dim=WIDTH,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=32,
        patch_size=8,
    )
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)
    CLIPModel(config).save_pretrained(folder)
    tokenizer = tiny_tokenizer(folder / "words", WINDOW)
    tokenizer.save_pretrained(folder)
    make_image_processor().save_pretrained(folder)
    if phrases is not None:
        (folder / "phrases.json").write_text(json.dumps(phrases), encoding="utf-8")
    return folder
