"""Representation alignment (Yu et al. 2025): the denoiser's middle learns, beside its own work, to say what CLIP sees there.

What is where in a picture is decided in the middle. Told only by the noise it fails to foresee, a small network needs most of
its training to find that out; CLIP knows it already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel

from engine.training.compute import Compute
from engine.training.probe import to_tensor

WEIGHT = 0.5
"""Of the alignment beside the denoiser's own loss."""
LAYER = -2
"""Of CLIP's picture tower: in the last one patches serve the whole picture."""
HEAD_WIDTH = 256


@torch.no_grad()
def patch_features(
    model: CLIPModel, pixels: npt.NDArray[np.uint8], compute: Compute, batch: int = 100
) -> Tensor:
    """(n, side, side, 3) uint8 → (n, width, rows, columns) float16 on the host: what CLIP makes of every patch, each channel
    with mean 0 and deviation 1 over all of them.
    """
    parts = []
    for start in range(0, len(pixels), batch):
        seen = model.vision_model(
            to_tensor(pixels[start : start + batch], compute), output_hidden_states=True
        ).hidden_states[LAYER][:, 1:]
        side = round(seen.shape[1] ** 0.5)
        parts.append(seen.transpose(1, 2).unflatten(2, (side, side)).half().cpu())
    found = torch.cat(parts)
    each = found[:: max(1, len(found) // 2_000)].float()
    middle, spread = each.mean((0, 2, 3), keepdim=True), each.std((0, 2, 3), keepdim=True)
    return found.sub_(middle.half()).div_(spread.half())


class Alignment(nn.Module):
    """Reads a UNet's middle by a small network of its own, which is thrown away after the training."""

    def __init__(self, unet: UNet2DConditionModel, width: int) -> None:
        super().__init__()
        self.heads = nn.Sequential(
            nn.Linear(unet.config["block_out_channels"][-1], HEAD_WIDTH),
            nn.SiLU(),
            nn.Linear(HEAD_WIDTH, width),
        )
        self._middle: Tensor | None = None
        unet.mid_block.register_forward_hook(self._see)

    def _see(self, _: nn.Module, __: Any, middle: Tensor) -> None:
        self._middle = middle

    def forward(self, features: Tensor) -> Tensor:
        """How far the UNet's last call was from `features` (n, width, rows, columns): 0 the same, 1 nothing in common."""
        assert self._middle is not None, "the UNet has not been called"
        middle, self._middle = self._middle, None
        pooled = functional.adaptive_avg_pool2d(middle.float(), (features.shape[2], features.shape[3]))
        guess = self.heads(pooled.permute(0, 2, 3, 1))
        return 1 - functional.cosine_similarity(guess, features.permute(0, 2, 3, 1), dim=-1).mean()
