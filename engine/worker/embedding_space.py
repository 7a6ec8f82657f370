"""The space that the prior draws in: CLIP's image embeddings, seen along the axes in which they differ most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


@dataclass(frozen=True)
class EmbeddingSpace:
    """Principal components of CLIP's image embeddings (Ramesh et al. 2022, section 2.2: most of them carry nothing).

    `mean` (width,), `components` (kept, width) orthonormal rows, `scale` a 0-dim tensor: what brings coordinates to unit variance
    over all, so that the widest axes stay the widest.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, explained: float) -> EmbeddingSpace:
        """The fewest components that explain this share of the variance of (n, width) embeddings."""
        centred = (embeddings - embeddings.mean(0)).double()
        variances, axes = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
        variances, axes = variances.flip(0), axes.flip(1)
        kept = int((variances.cumsum(0) / variances.sum() < explained).sum()) + 1
        scale = variances[:kept].mean().sqrt()
        return cls(embeddings.mean(0).float(), axes[:, :kept].T.contiguous().float(), scale.float())

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

    def save(self, file: Path) -> None:
        tensors = {"mean": self.mean, "components": self.components, "scale": self.scale}
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)

    @classmethod
    def load(cls, file: Path) -> EmbeddingSpace:
        return cls(**load_file(file))
