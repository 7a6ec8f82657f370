"""The space that a prior draws in: CLIP's image embeddings, seen along the axes in which they differ most."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS = "model.safetensors"


class EmbeddingSpace(nn.Module):
    """Principal components of CLIP's image embeddings (Ramesh et al. 2022, section 2.2: most of them carry nothing).

    `mean` (1, width), `components` (kept, width) orthonormal rows, `scale` a 0-dim tensor: what brings coordinates to unit
    variance over all, so that the widest axes stay the widest.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, components: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("scale", scale)

    @classmethod
    def of(cls, embeddings: Tensor, explained: float) -> EmbeddingSpace:
        """The fewest components that explain this share of the variance of (n, width) embeddings."""
        mean = embeddings.mean(0, keepdim=True)
        centred = (embeddings - mean).double()
        variances, axes = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
        variances, axes = variances.flip(0), axes.flip(1)
        kept = int((variances.cumsum(0) / variances.sum() < explained).sum()) + 1
        scale = variances[:kept].mean().sqrt()
        return cls(mean.float(), axes[:, :kept].T.contiguous().float(), scale.float())

    @property
    def width(self) -> int:
        """How many coordinates there are."""
        return len(self.components)

    def coordinates(self, embeddings: Tensor) -> Tensor:
        """(n, width of the embeddings) → (n, kept)."""
        return (embeddings - self.mean) @ self.components.T / self.scale

    def embeddings(self, coordinates: Tensor) -> Tensor:
        """(n, kept) → (n, width of the embeddings): what the coordinates say of them."""
        return coordinates * self.scale @ self.components + self.mean

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> EmbeddingSpace:
        return cls(**load_file(folder / WEIGHTS))
