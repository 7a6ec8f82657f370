"""`torch.compile` for a denoiser, without anybody waiting for the compiler."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Hashable
from itertools import chain
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

log = logging.getLogger(__name__)

BACKEND = "inductor"
COMPILING = "compile"
"""The name of the threads that do; benchmarks wait for them."""
MAX_SHAPES = 8
"""Sizes and kinds of input that are compiled for; further ones run uncompiled."""


class CompiledDenoiser:
    """Runs a module as it is until its compiled twin is ready, shape by shape.

    The twin shares the weights and nothing else, so that hooks (LoRAs) and changed paddings (tiling), which would be
    compiled in or make the compiler start over, touch the module alone; batches that need them go to the module itself.
    Compiled kernels are kept on disk by torch, so that the next start is warm within seconds.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
        # Dynamic: a step has another number of rows each time.
        self._twin = torch.compile(copy.deepcopy(module, shared), dynamic=True, backend=BACKEND)
        self._ready: set[Hashable] = set()
        self._asked: set[Hashable] = set()
        self._compiling: threading.Thread | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What the module returns; the first tensors of a new shape also set the compiler going."""
        shape = _shape_of((args, options))
        if shape in self._ready:
            return self._twin(*args, **options)
        busy = self._compiling is not None and self._compiling.is_alive()
        if shape not in self._asked and not busy and len(self._asked) < MAX_SHAPES:
            self._asked.add(shape)
            # The values do not matter; the step's own tensors would be written to while the compiler reads them.
            alike = tree_map(
                lambda leaf: torch.zeros_like(leaf) if _is_tensor(leaf) else leaf, (args, options)
            )
            # A thread of its own that ends: torch keeps helper threads for every thread that computes, and while those
            # live they get in the way of the engine's.
            self._compiling = threading.Thread(
                target=self._compile, args=(shape, *alike), name=COMPILING, daemon=True
            )
            self._compiling.start()
        return self._module(*args, **options)

    def _compile(self, shape: Hashable, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        try:
            with torch.inference_mode():
                # Twice, because the first call of a compiled module differs from all others.
                for _ in range(2):
                    self._twin(*args, **options)
        except Exception:  # Without a compiler, or with one that fails, the pictures come all the same.
            log.warning("compiling failed; pictures are made without it", exc_info=True)
            return
        self._ready.add(shape)


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor)


def _shape_of(arguments: Any) -> Hashable:
    """What a compiled module is compiled for: everything but the number of rows, of which only one is special."""
    leaves, structure = tree_flatten(arguments)
    return (
        repr(structure),
        *(
            (leaf.shape[:1] == (1,), leaf.shape[1:], leaf.stride()[1:], leaf.dtype)
            if _is_tensor(leaf)
            else leaf
            for leaf in leaves
        ),
    )
