"""A tiny random Stable Diffusion XL in diffusers format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.engine.tiny import SIDE, _text_encoder, _tokenizer, _vocabulary

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
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=16 + 24,
        norm_num_groups=4,
        time_cond_proj_dim=time_cond_proj_dim,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    second = transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            bos_token_id=0,
            eos_token_id=1,
            # Another width than the first encoder's, by which diffusers tells the two apart in a single file.
            hidden_size=24,
            hidden_act="gelu",
            intermediate_size=32,
            num_attention_heads=2,
            num_hidden_layers=3,
            projection_dim=16,
            vocab_size=len(_vocabulary()),
            max_position_embeddings=window,
        )
    )
    tokenizer = _tokenizer(folder, window)
    tokenizer_2 = transformers.CLIPTokenizer(
        str(folder / "tokenizer" / "vocab.json"),
        str(folder / "tokenizer" / "merges.txt"),
        model_max_length=window,
        pad_token="a",  # SDXL's second tokenizer fills up with another token than its first.
    )
    diffusers.StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=_text_encoder(window),
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
