"""Tiny random models in diffusers format, made from configuration the way diffusers' own tests make them."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

SIDE = 32
"""Pixels: 16 latents times the autoencoder's factor of 2."""


def write_tiny_model(
    folder: Path,
    *,
    tiny_vae: bool = False,
    addition_embed_type: str | None = None,
    in_channels: int = 4,
    time_cond_proj_dim: int | None = None,
    scheduler: dict[str, Any] | None = None,
    safety_checker: bool = False,
    version_2: bool = False,
    window: int = 16,
    seed: int = 0,
) -> Path:
    """Write a tiny StableDiffusionPipeline; `scheduler` changes its DDIM configuration, `window` is in tokens.

    `version_2`: as Stable Diffusion 2.x differs, with OpenCLIP's activation, linear projections and heads per block.
    """
    torch.manual_seed(seed)
    unet = tiny_unet(
        in_channels=in_channels,
        cross_attention_dim=16,
        attention_head_dim=(2, 4) if version_2 else 4,
        use_linear_projection=version_2,
        addition_embed_type=addition_embed_type,
        addition_embed_type_num_heads=4,
        time_cond_proj_dim=time_cond_proj_dim,
    )
    scheduler_config = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        # An old value, as in many checkpoints: the pipeline rewrites it, and the engine has to do the same.
        "steps_offset": 0,
        **(scheduler or {}),
    }
    checker, processor = _safety_checker() if safety_checker else (None, None)
    diffusers.StableDiffusionPipeline(
        vae=tiny_vae_taesd() if tiny_vae else tiny_vae_kl(),
        text_encoder=tiny_text_encoder(window, hidden_act="gelu" if version_2 else "quick_gelu"),
        tokenizer=tiny_tokenizer(folder, window),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(**scheduler_config),
        safety_checker=checker,
        feature_extractor=processor,
        requires_safety_checker=safety_checker,
    ).save_pretrained(folder)
    # Saving writes the rewritten scheduler; the old file is put back so that loading meets the old value.
    diffusers.DDIMScheduler(**scheduler_config).save_pretrained(folder / "scheduler")
    return folder


def tiny_unet(**config: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        **{"sample_size": 16, "out_channels": 4, **config},
    )


def tiny_vae_kl(**config: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=4,
        sample_size=SIDE,
        **{"latent_channels": 4, **config},
    )


def tiny_vae_taesd() -> Any:
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    )


def tiny_text_encoder(window: int, hidden_act: str = "quick_gelu") -> Any:
    return transformers.CLIPTextModel(clip_config(window, hidden_act=hidden_act))


def clip_config(window: int, **config: Any) -> Any:
    """Of a text encoder."""
    common = {
        "bos_token_id": 0,
        "eos_token_id": 1,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": len(_vocabulary()),
        "max_position_embeddings": window,
    }
    return transformers.CLIPTextConfig(**{**common, **config})


def _vocabulary() -> dict[str, int]:
    pieces = ["<|startoftext|>", "<|endoftext|>", "the</w>"]
    pieces += [*string.ascii_lowercase, "th"]
    pieces += [f"{letter}</w>" for letter in string.ascii_lowercase]
    return {piece: index for index, piece in enumerate(pieces)}


def tiny_tokenizer(folder: Path, window: int) -> Any:
    target = folder / "tokenizer"
    target.mkdir(parents=True, exist_ok=True)
    (target / "vocab.json").write_text(json.dumps(_vocabulary()))
    (target / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    return transformers.CLIPTokenizer(
        str(target / "vocab.json"),
        str(target / "merges.txt"),
        model_max_length=window,
        pad_token="<|endoftext|>",
    )


def _safety_checker() -> tuple[Any, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    config = transformers.CLIPConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "image_size": 16,
            "patch_size": 8,
        },
        projection_dim=8,
    )
    size = {"shortest_edge": 16}
    processor = CLIPImageProcessorPil(size=size, crop_size={"height": 16, "width": 16})
    return StableDiffusionSafetyChecker(config), processor
