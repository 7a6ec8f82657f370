"""Export of the cascade: the engine's unCLIP folder in half precision; its encoders lie with CLIP, which is beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from diffusers import PriorTransformer, UnCLIPScheduler
from transformers import CLIPTokenizer

from engine.config import EMBEDDED_CLIP, EMBEDDED_UPSCALER
from engine.training.decoder import Decoder, build_decoder_schedule
from engine.training.export import tidy_tokenizer, write_json
from engine.training.scenes.captions import vocabulary
from engine.training.upscaler import SCALE
from engine.worker.embedding_space import EmbeddingSpace

NAME = "fourfold-unclip"


def export_unclip(
    folder: Path,
    *,
    tokenizer: Path,
    processor: Path,
    prior: PriorTransformer,
    schedule: UnCLIPScheduler,
    space: EmbeddingSpace,
    decoder: Decoder,
    defaults: dict[str, Any],
) -> None:
    """Write the cascade to `folder`, whose neighbours are CLIP and the network that enlarges; what else lies there stays."""
    parts = {
        "prior": prior.half(),
        "decoder": decoder.unet.half(),
        "text_proj": decoder.text_proj.half(),
        "prior_scheduler": schedule,
        "decoder_scheduler": build_decoder_schedule(),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    space.save(folder / "embedding_space")
    CLIPTokenizer.from_pretrained(str(tokenizer)).save_pretrained(folder / "tokenizer")
    tidy_tokenizer(folder / "tokenizer")
    (folder / "feature_extractor").mkdir(exist_ok=True)
    shutil.copy(processor / "preprocessor_config.json", folder / "feature_extractor")
    index = {
        "_class_name": "UnCLIPPipeline",
        "_shared": {
            "text_encoder": EMBEDDED_CLIP,
            "image_encoder": EMBEDDED_CLIP,
            "super_resolution": EMBEDDED_UPSCALER,
        },
        "enlarges": SCALE**2,
        "patch": decoder.patch,
        "embedding_space": ["fourfold", "EmbeddingSpace"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "super_resolution": ["fourfold", "CompactUpscaler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        **{name: ["diffusers", type(part).__name__] for name, part in parts.items()},
    }
    write_json(folder / "model_index.json", index)
    facts = {
        "name": NAME,
        "title": "Fourfold unCLIP",
        "licence": "MIT",
        "defaults": defaults,
        "native_size": decoder.unet.config.sample_size * decoder.patch * SCALE**2,
        "vocabulary": list(vocabulary()),
    }
    write_json(folder / "fourfold.json", facts)
