"""Steps of a few widths: libraries that make a kernel for every shape keep only so many of them."""

from __future__ import annotations

import bisect
from typing import Any

import torch
from torch.utils._pytree import tree_map

BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Widths that steps are filled up to; wider ones run as they are."""


def in_bucket(denoiser: Any, sample: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    """What `denoiser` predicts for the rows of `sample`, run with as many rows as the next bucket has.

    Every tensor among the arguments whose first dimension is the rows' is filled up with its last row. On a processor
    oneDNN builds each convolution anew for every number of rows and forgets the oldest beyond a thousand: a busy queue,
    whose steps have all widths, otherwise spends a sixth of its time on that.
    """
    rows = len(sample)
    place = bisect.bisect_left(BUCKETS, rows)
    missing = BUCKETS[place] - rows if place < len(BUCKETS) else 0

    def filled(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.shape[:1] != (rows,):
            return leaf
        return torch.cat([leaf, leaf[-1:].expand(missing, *leaf.shape[1:])])

    if missing:
        sample, args, options = tree_map(filled, (sample, args, options))
    predicted: torch.Tensor = denoiser(sample, *args, **options)[0]
    return predicted[:rows]


def as_they_are(denoiser: Any, sample: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    """What `denoiser` predicts for the rows of `sample`, and no others."""
    predicted: torch.Tensor = denoiser(sample, *args, **options)[0]
    return predicted
