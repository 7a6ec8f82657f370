"""A tiny random Stable Diffusion XL in diffusers format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.engine.tiny import clip_config, tiny_text_encoder, tiny_tokenizer, tiny_unet, tiny_vae_kl

WINDOW = 16


def write_tiny_xl(
    folder: Path,
    *,
    time_cond_proj_dim: int | None = None,
    scheduler: Any = None,
    force_zeros_for_empty_prompt: bool = True,
    in_channels: int = 4,
    window: int = WINDOW,
    seed: int = 2,
) -> Path:
    """Write a tiny StableDiffusionXLPipeline; its scheduler is Euler with SDXL's own configuration, `window` in tokens."""
    torch.manual_seed(seed)
    unet = tiny_unet(
        in_channels=in_channels,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=16 + 24,
        time_cond_proj_dim=time_cond_proj_dim,
    )
    vae = tiny_vae_kl(scaling_factor=0.13025, force_upcast=True)
    second = transformers.CLIPTextModelWithProjection(
        # Another width than the first encoder's, by which diffusers tells the two apart in a single file.
        clip_config(window, hidden_size=24, hidden_act="gelu", num_hidden_layers=3, projection_dim=16)
    )
    tokenizer = tiny_tokenizer(folder, window)
    tokenizer_2 = transformers.CLIPTokenizer(
        str(folder / "tokenizer" / "vocab.json"),
        str(folder / "tokenizer" / "merges.txt"),
        model_max_length=window,
        pad_token="a",  # SDXL's second tokenizer fills up with another token than its first.
    )
    diffusers.StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=tiny_text_encoder(window),
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=scheduler
        or diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder
