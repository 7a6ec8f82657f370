"""Pictures whose opposite edges fit together: every convolution goes on at the other edge instead of at zeros."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def edges_joined(model: Any, *, joined: bool) -> Iterator[None]:
    """Within, and if `joined`, the model's convolutions pad circularly."""
    changed = []
    try:
        if joined:
            for module in model.modules():
                if isinstance(module, torch.nn.Conv2d) and module.padding_mode == "zeros":
                    module.padding_mode = "circular"
                    changed.append(module)
        yield
    finally:
        for module in changed:
            module.padding_mode = "zeros"
