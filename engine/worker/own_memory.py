"""Weights in memory of their own.

What safetensors hands out are views of the mapped file: whoever overwrites it in place changes them, and whoever cuts it
short ends the process with SIGBUS.
"""

from __future__ import annotations

import torch


def own_weights(module: torch.nn.Module) -> None:
    """Copy what is still a view of a file, tensor by tensor, so that no more than one of them is there twice."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = owned(tensor.data)


def owned(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or its copy where torch has not allocated its memory itself; such memory cannot be resized."""
    return tensor if tensor.untyped_storage().resizable() else tensor.clone()
