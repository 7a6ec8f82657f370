"""`torch.compile` for a denoiser, without anybody waiting for the compiler."""

from __future__ import annotations

import atexit
import copy
import ctypes
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import torch
from torch.utils._pytree import tree_flatten, tree_map

from engine.executor import EngineClosing
from engine.worker.background import imports

log = logging.getLogger(__name__)

BACKEND = "inductor"
COMPILING = "compile"
"""The name of the threads that do; benchmarks wait for them."""
MAX_SHAPES = 8
"""Sizes and kinds of input that are compiled for; further ones run uncompiled."""
_CPP_COMPILER = re.compile(r"(.+-)?(gcc|g\+\+|c\+\+|clang|clang\+\+|icx|icpx|cl)(-\d+)?(\.exe)?")
_PAUSE = 0.05
_EXIT_SECONDS = 5.0
"""How long the end of the process waits for what could not be stopped: ended inside of torch, it would abort the process."""


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
        self._compiling: _Compiling | None = None

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
            thread = self._compiling = _Compiling(lambda: self._compile(shape, *alike))
            _COMPILING[self._module] = thread
            thread.start()
        return self._module(*args, **options)

    def _compile(self, shape: Hashable, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        try:
            with torch.inference_mode():
                # Twice, because the first call of a compiled module differs from all others.
                for _ in range(2):
                    self._twin(*args, **options)
        except EngineClosing:
            return
        except Exception:  # Without a compiler, or with one that fails, the pictures come all the same.
            if not _is_unwanted(threading.current_thread()):
                log.warning("compiling failed; pictures are made without it", exc_info=True)
            return
        self._ready.add(shape)


class _Compiling(threading.Thread):
    """Compiles once, and may be stopped."""

    def __init__(self, compiling: Callable[[], None]) -> None:
        super().__init__(target=compiling, name=COMPILING, daemon=True)
        self.unwanted = False

    def interrupt(self) -> None:
        """Raise EngineClosing where it computes in Python, unless it imports: a library that was half imported cannot be
        imported again.
        """
        self.unwanted = True
        if self.ident is not None and not imports(sys._current_frames().get(self.ident)):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(EngineClosing)
            )


_COMPILING: WeakKeyDictionary[torch.nn.Module, _Compiling] = WeakKeyDictionary()
"""Who compiled last for a module."""


def stop_compiling(modules: Iterable[torch.nn.Module], *, patience: float) -> None:
    """End the compilation of modules that are no longer needed, with the programs that it started; waits for that for at most
    `patience` seconds, and at the end of the process once more.
    """
    threads = [thread for module in modules if (thread := _COMPILING.get(module)) and thread.is_alive()]
    if threads:
        _stop(threads, patience)
    for thread in filter(threading.Thread.is_alive, threads):
        atexit.register(_stop, [thread], _EXIT_SECONDS)


def _stop(threads: list[_Compiling], patience: float) -> None:
    for thread in threads:
        thread.interrupt()
    until = time.monotonic() + patience
    while (alive := [thread for thread in threads if thread.is_alive()]) and time.monotonic() < until:
        # It waits for them where nothing can be raised.
        _end_compilers()
        alive[0].join(_PAUSE)


def _end_compilers() -> None:
    """End the C++ compilers that this process has started, and what these have."""
    for child in psutil.Process().children():
        try:
            if _CPP_COMPILER.fullmatch(child.name()):
                for each in [*child.children(recursive=True), child]:
                    each.kill()
        except psutil.Error:
            continue  # It has ended by itself.


def _is_unwanted(thread: threading.Thread) -> bool:
    return isinstance(thread, _Compiling) and thread.unwanted


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
