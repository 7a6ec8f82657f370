"""The architectures of well-known checkpoints with random weights: for speed they are as good as the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from engine.catalog import EMBEDDED_DIR
from engine.config import EMBEDDED_MODEL


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is built, and how large its pictures are. The numbers are those of the published configurations."""

    title: str
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text_encoders: tuple[Mapping[str, Any], ...]
    """CLIPTextConfig of each; a second one has a projection, and makes the model an SDXL."""


_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
_AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
STABLE_DIFFUSION_15 = Architecture(
    title="Stable Diffusion 1.5",
    unet={
        "sample_size": 64,
        "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    vae=_AUTOENCODER | {"sample_size": 512, "scaling_factor": 0.18215},
    text_encoders=(_CLIP_L,),
)
STABLE_DIFFUSION_XL = Architecture(
    title="Stable Diffusion XL",
    unet={
        "sample_size": 128,
        "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
        "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 6 * 256 + 1280,
    },
    vae=_AUTOENCODER | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": False},
    text_encoders=(_CLIP_L, _CLIP_G),
)


def write_random(architecture: Architecture, folder: Path, dtype: torch.dtype) -> Path:
    """Build the architecture with seeded random weights and write it as a diffusers folder; returns the folder.

    The tokenizer is the embedded model's, whose words are fewer and whose window is as long.
    """
    torch.manual_seed(0)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(EMBEDDED_DIR / EMBEDDED_MODEL / "tokenizer")
    parts: dict[str, Any] = {
        "unet": diffusers.UNet2DConditionModel(**architecture.unet),
        "vae": diffusers.AutoencoderKL(**architecture.vae),
        "scheduler": diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    }
    classes = (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection)
    for number, sizes in enumerate(architecture.text_encoders):
        suffix = f"_{number + 1}" if number else ""
        config = transformers.CLIPTextConfig(**{"bos_token_id": 0, "eos_token_id": 1} | dict(sizes))
        parts[f"text_encoder{suffix}"] = classes[number](config)
        parts[f"tokenizer{suffix}"] = tokenizer
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.to(dtype)
    if len(architecture.text_encoders) == 2:
        pipeline = diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        pipeline = diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.save_pretrained(folder)
    return folder
