"""What a text encoder has said lately: rerolls, variations and upscales of a picture ask the same again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import torch

MAX_BYTES = 64 * 2**20
_MEMORY = torch.device("cpu")


class PromptCache:
    """Tensors by what they were made of, in the machine's own memory: a graphics card's is counted in the memory budget, and
    full of models. Never more than so many bytes, of which the longest unused go first.
    """

    def __init__(self, device: torch.device, max_bytes: int = MAX_BYTES) -> None:
        """`device`: where they are needed."""
        self._device = device
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, tuple[torch.Tensor, ...]] = OrderedDict()
        self.nbytes = 0
        """Of everything that is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> tuple[torch.Tensor, ...] | None:
        """What was put, bit by bit, on the device; None where it is not known any more."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return tuple(tensor.to(self._device) for tensor in kept)

    def put(self, key: Hashable, *tensors: torch.Tensor) -> None:
        """Keep these instead of what was known. What is larger than the whole cache is not kept."""
        kept = tuple(_own(tensor.to(_MEMORY)) for tensor in tensors)
        self.nbytes += _size(kept) - _size(self._kept.pop(key, ()))
        self._kept[key] = kept
        while self.nbytes > self._max_bytes:
            self.nbytes -= _size(self._kept.popitem(last=False)[1])


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Not a part of something larger, which would be kept with it."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor


def _size(tensors: tuple[torch.Tensor, ...]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
