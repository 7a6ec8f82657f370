"""Tiny random super-resolution networks and smooth pictures to enlarge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.worker.super_resolution import CompactUpscaler


def tiny_network(scale: int = 4) -> CompactUpscaler:
    torch.manual_seed(0)
    return CompactUpscaler(features=8, depth=2, scale=scale).eval()


def write_tiny_upscaler(folder: Path, scale: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architecture": "compact", "features": 8, "depth": 2, "scale": scale}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tiny_network(scale).state_dict(), folder / "model.safetensors")
    return folder


def smooth(height: int, width: int) -> torch.Tensor:
    """(3, height, width) in 0 to 1."""
    rows, columns = torch.linspace(0, 3, height)[:, None], torch.linspace(0, 5, width)[None]
    return torch.stack([(rows + columns).sin(), (rows - columns).cos(), (rows * columns).sin()]) / 2 + 0.5


def write_smooth(path: Path, width: int, height: int) -> Path:
    pixels = (smooth(height, width) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path
