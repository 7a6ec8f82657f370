"""Export of CLIP: transformers' own folder in half precision, with the words it describes pictures of this world with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine.training.export import tidy_tokenizer, write_json
from engine.training.scenes import words
from engine.training.scenes.spec import COLOURS, SUBJECTS

# How much nearer a second figure has to bring what is said: one that is not there brings it a little nearer too, by chance.
SECOND_GAIN = 0.02


def export_clip(folder: Path, model: CLIPModel, tokenizer: Path) -> None:
    """Write weights, tokenizer, image processor and phrases.json to `folder`; what else lies there stays."""
    model.half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # transformers loads a model in the type that its config names.
    config["dtype"] = "float32"
    for tower in ("text_config", "vision_config"):
        config[tower]["dtype"] = "float32"
    write_json(folder / "config.json", config)
    CLIPTokenizer.from_pretrained(str(tokenizer)).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    tidy_tokenizer(folder)
    side = model.config.vision_config.image_size
    CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    ).save_pretrained(folder)
    write_json(folder / "phrases.json", phrases())
    write_json(folder / "fourfold.json", {"title": "Fourfold CLIP", "licence": "MIT"})


def phrases() -> dict[str, Any]:
    """What pictures are described with. Subjects are looked for last, when the rest of the sentence is there, and said first."""
    figures = [
        f"{_article(colour)} {colour} {words.SUBJECT_WORDS[subject][0]}"
        for subject in SUBJECTS
        for colour in COLOURS
    ]
    return {
        "groups": [
            {"phrases": _first(words.STYLE_TAGS), "place": 6},
            {"phrases": _first(words.SETTING_WORDS), "place": 3, "lead": " "},
            {"phrases": _first(words.TIME_WORDS), "place": 4, "lead": " "},
            {"phrases": _first(words.WEATHER_WORDS), "place": 5, "lead": " "},
            {"phrases": figures, "place": 1},
            {"phrases": figures, "place": 2, "lead": " and ", "gain": SECOND_GAIN},
        ]
    }


def _first(table: words.Words) -> list[str]:
    return [synonyms[0] for synonyms in table.values()]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
