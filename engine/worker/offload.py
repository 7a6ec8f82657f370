"""Weights that lie in the machine's memory and come to the device when they are needed, for small graphics cards.

This is diffusers' group offloading: a hook brings a block of the denoiser, or a layer of a text encoder, to the device
before its forward pass and takes it back afterwards. What is computed is the same; every step waits for the transfers.
The tests run it from the processor to the processor. It has never run on a graphics card.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.hooks import apply_group_offloading

_BY_BLOCK = ("unet", "transformer", "prior_prior")
_BY_LAYER = ("text_encoder", "text_encoder_2", "text_encoder_3", "prior_text_encoder", "prior_image_encoder")
"""The blocks of these lie deeper than diffusers looks for them."""
OFFLOADED = (*_BY_BLOCK, *_BY_LAYER)
"""The components whose weights come and go; the others are small, and stay on the device."""


def can_offload(device: torch.device) -> bool:
    """Whether the device has a memory of its own; where it shares the machine's, nothing is gained."""
    return device.type == "cuda"


def offload(parts: Mapping[str, Any], device: torch.device) -> None:
    """Leave the weights of those components that can come and go in the machine's memory; `parts` by diffusers' names."""
    for name in OFFLOADED:
        module = parts.get(name)
        if isinstance(module, torch.nn.Module):
            by_block = name in _BY_BLOCK
            # Streams would fetch the next block while one computes, from memory that is locked for it. They are left
            # out: an out-of-memory error in the middle of a pass would leave their order of fetching half known.
            apply_group_offloading(
                module,
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="block_level" if by_block else "leaf_level",
                num_blocks_per_group=1 if by_block else None,
            )
