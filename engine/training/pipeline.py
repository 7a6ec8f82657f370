"""The stock StableDiffusionPipeline around our parts, and pictures from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from transformers import CLIPTextModel, CLIPTokenizer

from engine.training.compute import Compute

SAMPLE_PROMPTS = (
    "a red sailboat on a calm sea at sunset, watercolor",
    "a blue house in a meadow by day, oil painting",
    "a purple castle in the mountains at dawn, paper cutout",
    "a white lighthouse by the sea at night, comic",
    "a pink tree in a forest at sunset, pixel art",
    "a yellow flower in the desert at dawn, watercolor",
    "a red mushroom in a forest by day, comic",
    "an orange cat in the city at night, oil painting",
    "a green fish in the ocean by day, paper cutout",
    "a black bird in the mountains at sunset, oil painting",
    "an orange butterfly in a meadow at dawn, comic",
    "a brown car in the city by day, pixel art",
    "a white rocket in the desert at night, paper cutout",
    "a green hot air balloon in the mountains by day, watercolor",
    "a blue umbrella by the sea at dawn, oil painting",
    "a purple teapot in a meadow at sunset, comic",
)

SAMPLERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
}


def assemble(
    tokenizer: CLIPTokenizer, text: CLIPTextModel, vae: AutoencoderTiny, unet: Any, scheduler: DDIMScheduler
) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load(folder: Path, compute: Compute) -> StableDiffusionPipeline:
    """The exported folder on the device, computed in float32 as the weights' half precision is only how they travel."""
    pipe = StableDiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(compute.device)


def use_sampler(pipe: StableDiffusionPipeline, name: str) -> None:
    kind, extra = SAMPLERS[name]
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **extra)


def generate(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    seeds: Iterable[int],
    steps: int,
    guidance: float,
    size: tuple[int, int] | None = None,
    batch: int = 16,
) -> list[npt.NDArray[np.uint8]]:
    """One (h, w, 3) picture per prompt, each from its own seed, drawn on the host; `size` is (width, height)."""
    found: list[npt.NDArray[np.uint8]] = []
    numbers = list(seeds)
    width, height = size or (None, None)
    for start in range(0, len(prompts), batch):
        some = list(prompts[start : start + batch])
        generators = [torch.Generator().manual_seed(seed) for seed in numbers[start : start + batch]]
        output = pipe(
            some,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="np",
            width=width,
            height=height,
        )
        found.extend((output.images * 255).round().astype(np.uint8))
    return found
