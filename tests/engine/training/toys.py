"""The recipe at toy size: its profile, and every trainer on noise for pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from engine.training.autoencoder import AutoencoderStage, build_autoencoder
from engine.training.compute import Compute
from engine.training.contrastive import ClipStage, build_clip
from engine.training.dataset import Pictures
from engine.training.decoder import DecoderStage
from engine.training.denoiser import DenoiserStage, LatentSet, build_unet
from engine.training.distillation import FewStepsStage
from engine.training.loop import Stage
from engine.training.polish import PolishStage
from engine.training.prior import EmbeddedSet, PriorStage
from engine.training.probe import ProbeStage
from engine.training.profile import CPU
from engine.training.scenes.spec import Scene, Side, draw_scenes
from engine.training.scenes.subjects import FLYING
from engine.training.text_encoder import build_text_encoder
from engine.training.upscaler import UpscalerStage
from engine.worker.embedding_space import EmbeddingSpace

TOY = dataclasses.replace(
    CPU,
    native_size=64,
    probe_widths=(8, 16, 16),
    probe_batch=2,
    clip_side=64,
    clip_width=32,
    clip_image_layers=1,
    clip_text_layers=1,
    clip_batch=4,
    vae_widths=(8, 8, 8, 8),
    vae_batch=2,
    latent_channels=4,
    text_length=24,
    unet_widths=(16, 32),
    unet_layers=1,
    unet_batch=4,
    polish_batch=2,
    few_steps_rank=2,
    few_steps_batch=2,
    prior_layers=1,
    prior_batch=4,
    decoder_batch=4,
    upscaler_width=8,
    upscaler_depth=1,
    upscaler_crop=32,
    upscaler_batch=2,
)


def toy_scenes(count: int) -> list[Scene]:
    return draw_scenes(count, 0, Side.TRAIN, flying=FLYING)


def stages(compute: Compute, tokenizer: CLIPTokenizer) -> Iterator[tuple[str, Callable[[], Stage]]]:
    """Every trainer of the recipe at toy size, on noise for pictures."""
    numbers = np.random.default_rng(0)
    scenes = toy_scenes(12)
    pixels = numbers.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    renders = Pictures(scenes, pixels, np.full((12, 8, 8), 128, dtype=np.uint8))
    latents = torch.from_numpy(numbers.standard_normal((12, 4, 8, 8))).half()
    yield "probe", lambda: ProbeStage(TOY, compute, [renders])
    yield "clip", lambda: ClipStage(TOY, compute, [renders], tokenizer)
    yield "autoencoder", lambda: AutoencoderStage(TOY, compute, [renders])
    vae = build_autoencoder(TOY)
    features = torch.from_numpy(numbers.standard_normal((12, TOY.clip_width, 2, 2))).half()
    sets = [LatentSet(scenes, latents, renders.masks, features)]
    yield "denoiser", lambda: DenoiserStage(TOY, compute, sets, tokenizer, vae)
    embedded = EmbeddedSet(scenes, torch.from_numpy(numbers.standard_normal((12, TOY.clip_width))).float())
    space = EmbeddingSpace(torch.zeros(1, TOY.clip_width), torch.eye(TOY.clip_width)[:6], torch.tensor(1.0))

    def clip() -> CLIPModel:
        return compute.place(build_clip(TOY, tokenizer)).eval()

    yield "upscaler", lambda: UpscalerStage(TOY, compute, renders)
    yield "prior", lambda: PriorStage(TOY, compute, embedded, space, clip(), tokenizer)
    yield "decoder", lambda: DecoderStage(TOY, compute, renders, embedded, clip(), tokenizer)

    def parts() -> tuple[UNet2DConditionModel, CLIPTextModel, AutoencoderTiny]:
        return (
            compute.place(build_unet(TOY)).eval(),
            compute.place(build_text_encoder(TOY, tokenizer)).eval(),
            compute.place(build_autoencoder(TOY)).eval(),
        )

    yield "few-steps", lambda: FewStepsStage(TOY, compute, sets, tokenizer, parts())
    yield "polish", lambda: PolishStage(TOY, compute, vae, renders, latents, latents)
