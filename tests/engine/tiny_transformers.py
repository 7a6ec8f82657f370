"""Tiny random Diffusion Transformers in diffusers format, made from configuration; nothing is downloaded."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.engine.tiny import _text_encoder, _tokenizer

SIDE = 32
"""Pixels: 16 latents times the autoencoder's factor of 2, 8 × 8 tokens."""


def write_tiny_flux(folder: Path, *, guidance_embeds: bool = True, seed: int = 0) -> Path:
    """A tiny FluxPipeline: [dev] with `guidance_embeds`, else [schnell]."""
    torch.manual_seed(seed)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=guidance_embeds, shift=3.0 if guidance_embeds else 1.0
    )
    diffusers.FluxPipeline(
        scheduler=scheduler,
        vae=autoencoder(),
        text_encoder=_text_encoder(16),
        tokenizer=_tokenizer(folder, 16),
        text_encoder_2=t5_encoder(),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def autoencoder(latent_channels: int = 4) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=SIDE,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.5305,
        shift_factor=0.0609,
    )


def t5_encoder() -> Any:
    config = transformers.T5Config(
        vocab_size=len(_t5_vocabulary()),
        d_model=32,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return transformers.T5EncoderModel(config)


def t5_tokenizer() -> Any:
    return transformers.T5Tokenizer(vocab=_t5_vocabulary(), extra_ids=0, model_max_length=24)


def _t5_vocabulary() -> list[tuple[str, float]]:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase, "▁a", "▁red", "▁cat"]
    return [(piece, -float(index)) for index, piece in enumerate(pieces)]
