"""A contrastive text–image model from transformers' own layout: both towers, tokenizer, image processor, and its phrases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine.catalog.clips import PHRASES
from engine.errors import ModelUnavailable
from engine.worker.load_errors import reading_part
from engine.worker.part_weights import read_part

_USUAL_PHRASES = Path(__file__).parents[1] / "data" / PHRASES


def read_clip(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Its parts by name, and under `settings` the groups of phrases that it describes pictures with.

    Raises:
        ModelUnavailable: a file is missing or damaged.
    """
    for files in (("vocab.json", "merges.txt"), ("preprocessor_config.json",)):
        missing = [file for file in files if not (folder / file).is_file()]
        if missing and not (len(files) == 2 and (folder / "tokenizer.json").is_file()):
            raise ModelUnavailable(
                "model_incomplete",
                f"{folder} holds no {missing[0]}. Download the model again.",
                path=str(folder),
            )
    with reading_part(folder):
        own = folder / PHRASES
        phrases = json.loads((own if own.is_file() else _USUAL_PHRASES).read_text(encoding="utf-8"))
        return {
            "clip": read_part(CLIPModel, folder, dtype),
            "tokenizer": CLIPTokenizer.from_pretrained(folder),
            "feature_extractor": CLIPImageProcessorPil.from_pretrained(folder),
            "settings": phrases,
        }
