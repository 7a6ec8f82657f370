"""What of a picture is drawn anew, and how the rest of it is kept.

Most models know nothing of masks: after every step what lies outside the mask is put back, as noisy as the rest is then.
An inpainting model has a UNet of nine channels, which reads the mask and what is kept beside the latents.
"""

from __future__ import annotations

import torch

from engine.worker.request_state import DenoisingState


def keep_outside(
    picture: DenoisingState, latents: torch.Tensor, predicted: torch.Tensor
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
