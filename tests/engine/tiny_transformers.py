"""Tiny random Diffusion Transformers in diffusers format, made from configuration; nothing is downloaded."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from tests.engine.tiny import _safety_checker, clip_config, tiny_text_encoder, tiny_tokenizer, tiny_vae_kl


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
        text_encoder=tiny_text_encoder(16),
        tokenizer=tiny_tokenizer(folder, 16),
        text_encoder_2=t5_encoder(),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def autoencoder(latent_channels: int = 4) -> Any:
    return tiny_vae_kl(
        latent_channels=latent_channels,
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


def write_tiny_z_image(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 4, 8],
        axes_lens=[256, 32, 32],
    )
    words = qwen_tokenizer()
    text_encoder = transformers.Qwen3Model(
        transformers.Qwen3Config(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=128,
        )
    )
    diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(),
        text_encoder=text_encoder,
        tokenizer=words,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def qwen_tokenizer() -> Any:
    """Bytes without merges, and a chat template of the shape of Qwen's."""
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return transformers.Qwen2Tokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=[],
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        model_max_length=96,
        chat_template=template,
    )


def write_tiny_pixart(folder: Path, seed: int = 0, *, kind: str = "Sigma") -> Path:
    """A tiny PixArt pipeline (Sigma or Alpha): T5 alone, a DDPM-trained transformer that also predicts a variance."""
    torch.manual_seed(seed)
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        caption_channels=32,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        use_additional_conditions=False,
    )
    getattr(diffusers, f"PixArt{kind}Pipeline")(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(),
        vae=autoencoder(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    ).save_pretrained(folder)
    return folder


def write_tiny_aura_flow(folder: Path, seed: int = 0) -> Path:
    """A tiny AuraFlowPipeline: T5 alone, flow matching, its guidance by a second row."""
    torch.manual_seed(seed)
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=256,
    )
    diffusers.AuraFlowPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(),
        vae=autoencoder(),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)
    return folder


def write_tiny_chroma(folder: Path, seed: int = 0) -> Path:
    """A tiny ChromaPipeline: FLUX.1's transformer without guidance, over packed latents; T5 alone, with a mask."""
    torch.manual_seed(seed)
    transformer = diffusers.ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=8,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    diffusers.ChromaPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(),
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def write_tiny_stable_diffusion_3(folder: Path, seed: int = 0) -> Path:
    """A tiny StableDiffusion3Pipeline: two CLIPs with projections, T5, flow matching."""
    torch.manual_seed(seed)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )
    clip = clip_config(16, projection_dim=32)
    words = tiny_tokenizer(folder, 16)
    diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(),
        text_encoder=transformers.CLIPTextModelWithProjection(clip),
        tokenizer=words,
        text_encoder_2=transformers.CLIPTextModelWithProjection(clip),
        tokenizer_2=words,
        text_encoder_3=t5_encoder(),
        tokenizer_3=t5_tokenizer(),
    ).save_pretrained(folder)
    return folder


def write_tiny_kandinsky(
    folder: Path, seed: int = 0, *, inpaints: bool = False, scheduler: dict[str, Any] | None = None
) -> Path:
    """A tiny KandinskyV22CombinedPipeline: a prior with a solver of its own before the decoder, and a VQ autoencoder.

    `inpaints`: its UNet reads a mask too. `scheduler` changes its DDPM configuration.
    """
    torch.manual_seed(seed)
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_layers=1
    )
    # They are zeros and ones in a new one, with which a forgotten step would go unseen.
    prior.clip_mean = torch.nn.Parameter(0.1 * torch.randn(1, 16))
    prior.clip_std = torch.nn.Parameter(1 + 0.1 * torch.rand(1, 16))
    of_decoder = {"beta_start": 0.00085, "beta_end": 0.012, "variance_type": "learned_range"}
    kind = (
        diffusers.KandinskyV22InpaintCombinedPipeline if inpaints else diffusers.KandinskyV22CombinedPipeline
    )
    clip = clip_config(77, projection_dim=16, num_hidden_layers=1)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16,
        image_size=16,
        projection_dim=16,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=1,
        patch_size=8,
    )
    kind(
        unet=diffusers.UNet2DConditionModel(
            in_channels=9 if inpaints else 4,
            out_channels=8,
            sample_size=16,
            addition_embed_type="image",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            block_out_channels=(8, 16),
            layers_per_block=1,
            encoder_hid_dim=16,
            encoder_hid_dim_type="image_proj",
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
            resnet_time_scale_shift="scale_shift",
        ),
        scheduler=diffusers.DDPMScheduler(**of_decoder | {"clip_sample": False} | (scheduler or {})),
        movq=diffusers.VQModel(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
            mid_block_add_attention=False,
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=8,
            norm_type="spatial",
            num_vq_embeddings=12,
            vq_embed_dim=4,
        ),
        prior_prior=prior,
        prior_image_encoder=transformers.CLIPVisionModelWithProjection(vision),
        prior_text_encoder=transformers.CLIPTextModelWithProjection(clip),
        prior_tokenizer=tiny_tokenizer(folder, 77),
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            num_train_timesteps=1000,
            clip_sample=True,
        ),
        prior_image_processor=_safety_checker()[1],
    ).save_pretrained(folder)
    return folder
