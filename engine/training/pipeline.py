"""The stock StableDiffusionPipeline around our parts, and pictures from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionPipeline,
)
from transformers import CLIPTextModel, CLIPTokenizer

SAMPLE_PROMPTS = (
    "a red sailboat on a calm sea at sunset, watercolor",
    "a blue house in a meadow by day, oil painting",
    "a purple castle in the mountains at dawn, paper cutout",
    "a white lighthouse by the sea at night, comic",
    "a pink dragon in front of a volcano at sunset, pixel art",
    "a yellow robot in the desert at dawn, stained glass",
    "a red fox in a forest in the snow by day, woodcut",
    "an orange cat in the city in the rain at night, oil painting",
    "a green turtle on the beach by day, flat illustration",
    "a black owl in a village at night, pencil drawing",
    "a red cat and a blue dog in a meadow by day, watercolor",
    "a white rabbit left of a purple mushroom in a forest at dawn, comic",
    "a yellow airplane above a brown train in the city by day, paper cutout",
    "a green hot air balloon over a white house on a farm under a rainbow, pointillism",
    "a red apple, a yellow cup and a blue teapot in a village at sunset, oil painting",
    "three pink penguins on the beach at dusk, flat illustration",
)


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
