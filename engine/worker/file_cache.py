"""What was made of files lately, so that the next request that names one need not read it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import GenerationFailed

KINDS = {"adapter": "LoRA", "embedding": "embedding", "vae": "autoencoder"}
"""What a request may name files for, as codes and values of errors call it → as sentences do."""

FileKey = tuple[str, int, int]
"""Path, time of change and size: the same key, the same content."""


class Held(Protocol):
    @property
    def nbytes(self) -> int: ...


Content = TypeVar("Content", bound=Held)


class FileCache(Generic[Content]):
    """Bounded in bytes; what requests hold lives on when it is put out of here. Any thread may ask."""

    def __init__(self, read: Callable[[Path], Content], most_bytes: int) -> None:
        self._read = read
        self._most_bytes = most_bytes
        self._held: OrderedDict[FileKey, Content] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, kind: str) -> Content:
        """Read the file, unless it was read before and has not changed since; `kind`: a key of KINDS.

        Raises:
            GenerationFailed: there is no such file; and whatever reading raises.
        """
        key = file_key(path, kind)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        content = self._read(path)  # Unlocked: reading takes seconds, and others may ask for what is here.
        with self._lock:
            content = self._held.setdefault(key, content)
            self._held.move_to_end(key)
            held = sum(one.nbytes for one in self._held.values())
            while held > self._most_bytes and len(self._held) > 1:
                held -= self._held.popitem(last=False)[1].nbytes
        return content

    def contents(self) -> list[Content]:
        """Everything that is held, the longest unused first."""
        with self._lock:
            return list(self._held.values())

    @property
    def nbytes(self) -> int:
        """Of everything that is held."""
        with self._lock:
            return sum(one.nbytes for one in self._held.values())


def file_key(path: Path, kind: str) -> FileKey:
    """Raises GenerationFailed where there is no such file."""
    try:
        status = path.stat()
    except OSError as error:
        raise GenerationFailed(
            f"{kind}_missing",
            f"The {KINDS[kind]} {path.name} is not there any more. Choose another, or put the file back.",
            **{kind: path.name},
            reason=str(error),
        ) from error
    return str(path), status.st_mtime_ns, status.st_size


def read_tensors(path: Path, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every tensor of a .safetensors file, and what its header says beside them.

    Raises:
        GenerationFailed: the file is missing or cut short, or no .safetensors file.
    """
    file_key(path, kind)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - it is no mapping.
    except (SafetensorError, OSError) as error:
        raise unreadable(path, kind, str(error)) from error


def unreadable(path: Path, kind: str, reason: str) -> GenerationFailed:
    return GenerationFailed(
        f"{kind}_unreadable",
        f"The {KINDS[kind]} {path.name} cannot be read as safetensors: {reason}. Download it again.",
        **{kind: path.name},
        reason=reason,
    )
