"""What of a picture is drawn anew, and how the rest of it is kept.

Most models know nothing of masks: after every step what lies outside the mask is put back, as noisy as the rest is then.
An inpainting model has a UNet of nine channels, which reads the mask and what is kept beside the latents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from engine.errors import GenerationFailed
from engine.worker.request_state import PictureState


def keep_outside(
    picture: PictureState, latents: torch.Tensor, predicted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a step made of a picture, latents and predicted final latents, with the original outside its region."""
    region = picture.region
    if region is None or region.original is None or region.noise is None:
        return latents, predicted
    original, step = region.original, picture.step + 1
    if step < len(picture.schedule.timesteps):
        original = picture.schedule.add_noise(original, region.noise, step)
    return (
        (1 - region.mask) * original + region.mask * latents,
        (1 - region.mask) * region.original + region.mask * predicted,
    )


def read_picture(path: Path, width: int, height: int) -> torch.Tensor:
    """(1, 3, height, width) float32 in −1…1, scaled to the size.

    Raises:
        GenerationFailed: the file is gone or no picture.
    """
    return as_tensor(_opened(path, "initial picture", "RGB", width, height))


def as_tensor(image: Image.Image) -> torch.Tensor:
    """(1, 3, height, width) float32 in −1…1, of a picture in RGB."""
    # The layout is part of exactness: convolutions sum in another order when channels do not come last.
    pixels = torch.from_numpy((np.asarray(image, dtype=np.float32) / 255.0)[None].transpose(0, 3, 1, 2))
    return 2.0 * pixels - 1.0


def read_mask(path: Path, width: int, height: int) -> torch.Tensor:
    """(1, 1, height, width) float32, 1 where the mask is lighter than middle grey, else 0; scaled to the size.

    Raises:
        GenerationFailed: the file is gone or no picture, or nothing in it is light.
    """
    image = _opened(path, "mask", "L", width, height)
    mask = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255.0)[None, None]
    mask = (mask >= 0.5).to(torch.float32)
    if not mask.any():
        raise GenerationFailed(
            "mask_empty",
            "The mask is black everywhere, so there is nothing to draw. Paint what is to be drawn anew in white.",
        )
    return mask


def _opened(path: Path, what: str, mode: str, width: int, height: int) -> Image.Image:
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            # diffusers scales a mask in the colours that it has, and a picture in RGB.
            image = image if mode == "L" else image.convert(mode)
    # Pillow's readers of single formats have no error in common.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise GenerationFailed(
            "picture_unreadable",
            f"The {what} {path.name} cannot be read: {error}. Send it again as PNG, JPEG or WebP.",
            what=what,
            reason=str(error),
        ) from error
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return image.convert(mode)
