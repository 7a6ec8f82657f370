"""Where pictures that are to be seen in others lie in CLIP's space, and the ways between them.

Ramesh et al. 2022, section 3: variations keep a picture's embedding, blends lie between two on the sphere, and a difference of
two texts leads from one picture to another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.request import Reference
from engine.worker.initial_picture import Pixels


def embed_pictures(
    pictures: Sequence[Pixels], processor: Any, image_encoder: Any, device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """(1, width) of each picture, through a CLIPVisionModelWithProjection and its image processor."""
    pixels = [processor(images=picture, return_tensors="pt").pixel_values for picture in pictures]
    return [image_encoder(each.to(device=device, dtype=dtype)).image_embeds for each in pixels]


def referred_to(
    reference: Reference,
    embeddings: Sequence[Tensor],
    cell: tuple[int, int],
    read: Callable[[str], Tensor],
    prompt: str,
) -> Tensor:
    """(1, width): the image embedding that one picture of a request is drawn after.

    `embeddings` of the reference's pictures; `cell`: which picture of how many; `read` gives the embedding (1, width) of a text.
    """
    index, count = cell
    if reference.strip:
        first, last = embeddings
        found = between(first, last, index / (count - 1) if count > 1 else 0.5)
    else:
        found, weight = embeddings[0], reference.pictures[0][1]
        for other, (_, its) in zip(embeddings[1:], reference.pictures[1:], strict=True):
            weight += its
            found = between(found, other, its / weight)
    if reference.moved_from is not None and reference.moved_from != prompt:
        away, towards = read(reference.moved_from), read(prompt)
        direction = _direction(_direction(towards) - _direction(away))
        found = between(found, direction * found.norm(dim=1, keepdim=True), reference.turn)
    return found


def between(first: Tensor, last: Tensor, share: float) -> Tensor:
    """(1, width) on the shortest way over the sphere (Shoemake 1985); lengths in between too. 0 is the first, 1 the last."""
    if share <= 0:
        return first
    if share >= 1:
        return last
    one, other = _direction(first.double()), _direction(last.double())
    cosine = (one * other).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    if angle.sin().abs().item() < 1e-6:
        # The same direction, or the opposite one, from which all ways are as short: a straight line.
        direction = _direction((1 - share) * one + share * other)
    else:
        direction = (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * other) / angle.sin()
    length = (1 - share) * first.double().norm(dim=1, keepdim=True) + share * last.double().norm(
        dim=1, keepdim=True
    )
    return (direction * length).to(first.dtype)


def _direction(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp(min=1e-12)
