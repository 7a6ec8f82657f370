"""Tiny random models with priors, built from configurations."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    PriorTransformer,
    StableUnCLIPPipeline,
    UnCLIPPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import (
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine.worker.embedding_space import EmbeddingSpace
from tests.engine.tiny import clip_config, tiny_text_encoder, tiny_tokenizer, tiny_unet, tiny_vae_kl
from tests.engine.tiny_upscaler import write_tiny_upscaler

WIDTH = 32
"""Of CLIP's embeddings."""
WINDOW = 16
"""Tokens."""
SMALL, LARGE = 16, 32
PATCH = 2
"""Of the embedded kind: pixels along the side of what is one place to its decoder."""
"""Pixels of what the decoder draws, and of the picture."""


def make_text_encoder() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(clip_config(WINDOW, projection_dim=WIDTH, hidden_size=WIDTH))


def make_image_encoder() -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=37,
            projection_dim=WIDTH,
            num_attention_heads=4,
            num_hidden_layers=2,
            image_size=32,
            patch_size=8,
        )
    )


def make_image_processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def make_prior() -> PriorTransformer:
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=12, embedding_dim=WIDTH, num_layers=1, num_embeddings=WINDOW
    )
    # They are zeros and ones in a new one, with which a forgotten step would go unseen.
    prior.clip_mean = torch.nn.Parameter(0.1 * torch.randn(1, WIDTH))
    prior.clip_std = torch.nn.Parameter(1 + 0.1 * torch.rand(1, WIDTH))
    return prior


def _make_super_resolution() -> UNet2DModel:
    return UNet2DModel(
        sample_size=LARGE,
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=("ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
        block_out_channels=(32, 64),
        in_channels=6,
        out_channels=3,
    )


def write_tiny_karlo(folder: Path, *, seed: int = 0) -> Path:
    """As the two folders of Karlo together: text to pictures, and variations of pictures."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(folder, WINDOW)
    text_proj = UnCLIPTextProjModel(
        clip_embeddings_dim=WIDTH, time_embed_dim=4 * 32, cross_attention_dim=100, clip_extra_context_tokens=4
    )
    torch.nn.init.normal_(text_proj.learned_classifier_free_guidance_embeddings)
    decoder = UNet2DConditionModel(
        sample_size=SMALL,
        in_channels=3,
        out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=100,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        only_cross_attention=False,
        class_embed_type="identity",
    )
    pipeline = UnCLIPPipeline(
        prior=make_prior(),
        decoder=decoder,
        text_encoder=make_text_encoder(),
        tokenizer=tokenizer,
        text_proj=text_proj,
        super_res_first=_make_super_resolution(),
        super_res_last=_make_super_resolution(),
        prior_scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        decoder_scheduler=UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    )
    pipeline.save_pretrained(folder)
    _add_eyes(folder)
    return folder


def write_tiny_stable_unclip(folder: Path, *, seed: int = 0) -> Path:
    """Text to pictures and variations of pictures in one folder; its prior steps by DDPM, as in stabilityai's example."""
    torch.manual_seed(seed)
    normalizer = StableUnCLIPImageNormalizer(embedding_dim=WIDTH)
    normalizer.mean = torch.nn.Parameter(0.1 * torch.randn(1, WIDTH))
    normalizer.std = torch.nn.Parameter(1 + 0.1 * torch.rand(1, WIDTH))
    StableUnCLIPPipeline(
        prior_tokenizer=tiny_tokenizer(folder, WINDOW),
        prior_text_encoder=make_text_encoder(),
        prior=make_prior(),
        prior_scheduler=DDPMScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            clip_sample=True,
            clip_sample_range=5.0,
            beta_schedule="squaredcos_cap_v2",
        ),
        image_normalizer=normalizer,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=tiny_tokenizer(folder, WINDOW),
        text_encoder=tiny_text_encoder(WINDOW),
        unet=tiny_unet(
            in_channels=4,
            cross_attention_dim=16,
            attention_head_dim=4,
            class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * WIDTH,
        ),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        vae=tiny_vae_kl(),
    ).save_pretrained(folder)
    _add_eyes(folder)
    return folder


def _add_eyes(folder: Path) -> None:
    """Stock diffusers keeps text and variations apart; whoever has both puts them into one folder."""
    index = json.loads((folder / "model_index.json").read_text())
    for name, part in (
        ("feature_extractor", make_image_processor()),
        ("image_encoder", make_image_encoder()),
    ):
        part.save_pretrained(folder / name)
        index[name] = ["transformers", type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))


def write_tiny_unclip(folder: Path, *, seed: int = 0) -> Path:
    """As the embedded one is made: a prior in a space of fewer axes, a decoder that sees squares of pixels, is told by
    ordinary cross-attention and predicts pictures, and a convolutional network that enlarges twice; text and image encoder lie
    with another model.
    """
    torch.manual_seed(seed)
    mine = folder / "mine"
    embeddings = torch.randn(200, 6) @ torch.randn(6, WIDTH) + 0.3
    space = EmbeddingSpace.of(embeddings, 0.9999)
    text_proj = UnCLIPTextProjModel(
        clip_embeddings_dim=WIDTH, time_embed_dim=4 * 8, cross_attention_dim=16, clip_extra_context_tokens=2
    )
    torch.nn.init.normal_(text_proj.learned_classifier_free_guidance_embeddings)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=WIDTH // 2,
        embedding_dim=space.width,
        embedding_proj_dim=WIDTH,
        # Words are as wide as the prior; a projection would have to be as wide as what is drawn.
        encoder_hid_proj_type=None,
        num_layers=1,
        num_embeddings=WINDOW,
    )
    parts = {
        "prior": prior,
        "decoder": tiny_unet(
            in_channels=3 * PATCH**2,
            out_channels=3 * PATCH**2,
            sample_size=SMALL // PATCH,
            cross_attention_dim=16,
            attention_head_dim=4,
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        ),
        "text_proj": text_proj,
        "prior_scheduler": UnCLIPScheduler(prediction_type="sample", clip_sample_range=5.0),
        "decoder_scheduler": DDIMScheduler(prediction_type="sample", clip_sample=False),
        "tokenizer": tiny_tokenizer(mine, WINDOW),
        "feature_extractor": make_image_processor(),
    }
    for name, part in parts.items():
        part.save_pretrained(mine / name)
    space.save(mine / "embedding_space")
    write_tiny_upscaler(mine / "super_resolution", scale=2)
    make_text_encoder().save_pretrained(folder / "words")
    make_image_encoder().save_pretrained(folder / "eyes")
    index = {
        "_class_name": "UnCLIPPipeline",
        "_shared": {"text_encoder": "words", "image_encoder": "eyes"},
        "enlarges": 4,
        "patch": PATCH,
        "embedding_space": ["fourfold", "EmbeddingSpace"],
        "super_resolution": ["fourfold", "CompactUpscaler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        **{name: ["diffusers", type(part).__name__] for name, part in parts.items()},
    }
    (mine / "model_index.json").write_text(json.dumps(index))
    return mine
