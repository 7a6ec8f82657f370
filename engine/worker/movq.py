"""Kandinsky's autoencoder, a VQModel whose latents are read as they are, called as the others are."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import FrozenDict


class Movq:
    """What `Autoencoder` expects of its model."""

    def __init__(self, movq: Any) -> None:
        self._movq = movq
        # Latents are neither scaled nor moved on their way between it and the UNet.
        self.config = FrozenDict({**movq.config, "scaling_factor": 1.0})
        self._one_by_one = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._movq, name)

    def decode(self, latents: torch.Tensor, *, return_dict: bool = True) -> Any:
        """Without looking the nearest entries of its codebook up, as diffusers' pipelines do."""
        rows = latents.split(1) if self._one_by_one else [latents]
        decoded = [self._movq.decode(row, force_not_quantize=True, return_dict=False)[0] for row in rows]
        return (torch.cat(decoded),)

    def enable_slicing(self) -> None:
        self._one_by_one = True

    def enable_tiling(self) -> None:
        """It sees the whole picture with every layer of attention, and cannot be cut up."""
