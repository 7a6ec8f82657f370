"""What diffusers' own pipelines make of a request; shared by the families whose pipelines are called alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from engine import GenerateRequest
from tests.engine.bench import Result


@cache
def pipeline_of(folder: Path, kind: str, dtype: torch.dtype, vae: Path | None = None) -> Any:
    pipeline = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype)
    if vae is not None:
        made = getattr(diffusers, json.loads((vae / "config.json").read_text())["_class_name"])
        pipeline.vae = made.from_pretrained(vae, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_says(
    folder: Path, stem: str, request: GenerateRequest, dtype: torch.dtype, **options: Any
) -> Result:
    """The request through `{stem}Pipeline`, `{stem}Img2ImgPipeline` or `{stem}InpaintPipeline`.

    From a picture, one seed at a time, as these pipelines encode it with the first seed's generator for all. An
    autoencoder of the request's own is a folder.
    """
    params = request.params
    task = "Inpaint" if request.mask else "Img2Img" if request.init_image else ""
    pipeline = pipeline_of(folder, f"{stem}{task}Pipeline", dtype, request.vae)
    if request.init_image is not None:
        options |= {"image": Image.open(request.init_image).convert("RGB"), "strength": params.strength}
    if request.mask is not None:
        options |= {"mask_image": Image.open(request.mask)}
    together = [[seed] for seed in request.seeds] if request.init_image else [list(request.seeds)]
    result = Result()
    for seeds in together:
        last: dict[str, torch.Tensor] = {}

        def keep(_: Any, step: int, time: Any, values: Any, last: Any = last) -> dict[str, torch.Tensor]:
            last.update(values)
            return {}

        images = pipeline(
            request.prompt,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            callback_on_step_end=keep,
            height=params.height,
            width=params.width,
            **options,
        ).images
        for row, image in enumerate(images):
            index = len(result.latents)
            result.pixels[index] = np.asarray(image)
            result.latents[index] = last["latents"][row : row + 1]
    return result


def write_picture_and_mask(folder: Path, side: int) -> Mapping[str, Path]:
    """A picture of noise and a mask with a white rectangle in it, as the arguments of a request."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[side // 4 : 3 * side // 4, side // 8 : 5 * side // 8] = 255
    for name, array in (("picture", pixels), ("mask", mask)):
        Image.fromarray(array).save(folder / f"{name}.png")
    return {"init_image": folder / "picture.png", "mask": folder / "mask.png"}
