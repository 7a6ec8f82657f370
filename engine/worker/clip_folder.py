"""A contrastive text–image model from transformers' own layout: both towers, tokenizer, image processor, and its phrases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine.catalog.clips import PHRASES
from engine.errors import ModelUnavailable
from engine.worker.load_errors import reading_part
from engine.worker.part_weights import read_part
from engine.worker.phrases import PhraseGroup, read_groups

_USUAL_PHRASES = Path(__file__).parents[1] / "data" / PHRASES


def read_clip(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Its parts by name, and under `settings` the groups of phrases that it describes pictures with.

    Raises:
        ModelUnavailable: a file is missing or damaged, or two do not belong together.
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
        parts = {
            "clip": read_part(CLIPModel, folder, dtype),
            "tokenizer": CLIPTokenizer.from_pretrained(folder),
            "feature_extractor": CLIPImageProcessorPil.from_pretrained(folder),
            "settings": {"groups": _phrases(folder)},
        }
        _check_fit(folder, parts)
        return parts


def _phrases(folder: Path) -> Sequence[PhraseGroup]:
    own = folder / PHRASES
    file = own if own.is_file() else _USUAL_PHRASES
    try:
        return read_groups(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelUnavailable(
            "model_unreadable",
            f'{file} holds no phrases to describe pictures with: {error}. It has to be {{"groups": [{{"phrases":'
            ' ["…", …]}, …]}. Correct it, or remove it to describe with the usual phrases.',
            path=str(file),
            reason=str(error),
        ) from error


def _check_fit(folder: Path, parts: dict[str, Any]) -> None:
    """What the tokenizer and the image processor write, the towers have to read: on a GPU, a token past the table would
    take down everything that runs there.
    """
    text, vision = parts["clip"].config.text_config, parts["clip"].config.vision_config
    tokens = 1 + max(parts["tokenizer"].get_vocab().values())
    side = vision.image_size
    # Wider than high, so that a processor that keeps the shape is found out too.
    made = parts["feature_extractor"](images=np.zeros((8, 12, 3), np.uint8), return_tensors="pt").pixel_values
    misfit = ""
    if tokens > text.vocab_size:
        misfit = f"its tokenizer has {tokens} tokens, its text tower is made for {text.vocab_size}"
    elif tuple(made.shape[2:]) != (side, side):
        height, width = made.shape[2:]
        misfit = f"its image processor writes {width} × {height} pixels, its image tower is made for {side} × {side}"
    if misfit:
        raise ModelUnavailable(
            "model_unreadable",
            f"The parts of {folder} do not belong together: {misfit}. Download the model again.",
            path=str(folder),
            reason=misfit,
        )
