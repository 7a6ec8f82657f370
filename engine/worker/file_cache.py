"""What was made of files and is still held somewhere, so that the next request that names one need not read it again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import GenerationFailed
from engine.worker.own_memory import owned

KINDS = {"adapter": "LoRA", "embedding": "embedding", "vae": "autoencoder"}
"""What a request may name files for, as codes and values of errors call it → as sentences do."""

FileKey = tuple[tuple[str, int, int], ...]
"""Path, time of change and size of everything that is read: the same key, the same content."""


class Held(Protocol):
    @property
    def nbytes(self) -> int: ...


Content = TypeVar("Content", bound=Held)


class FileCache(Generic[Content]):
    """It holds nothing itself: how long contents stay is for `PreparedWeights` to say. Any thread may ask."""

    def __init__(self, read: Callable[[Path], Content]) -> None:
        self._read = read
        self._known: WeakValueDictionary[FileKey, Content] = WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, path: Path, kind: str) -> Content:
        """Read the file, unless what was read before is still held and it has not changed; `kind`: a key of KINDS.

        Raises:
            GenerationFailed: there is no such file; and whatever reading raises.
        """
        key = file_key(path, kind)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        content = self._read(path)  # Unlocked: reading takes seconds, and others may ask for what is here.
        with self._lock:
            return self._known.setdefault(key, content)

    def contents(self) -> list[Content]:
        """Everything that is still held."""
        with self._lock:
            return list(self._known.values())


def file_key(path: Path, kind: str) -> FileKey:
    """Of a file and the configuration beside it, or of a folder, which does not change when a file in it is overwritten.

    Raises:
        GenerationFailed: there is nothing.
    """
    try:
        read = [path]
        if path.is_dir():
            for folder in (path, path / "vae"):
                read += sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
        elif path.with_name("config.json").is_file():
            read.append(path.with_name("config.json"))
        status = [(str(each), each.stat()) for each in read]
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL.
        raise GenerationFailed(
            f"{kind}_missing",
            f"The {KINDS[kind]} {path.name.replace(chr(0), '')} is not there any more. Choose another, or put the file back.",
            **{kind: path.name},
            reason=str(error),
        ) from error
    return tuple((name, each.st_mtime_ns, each.st_size) for name, each in status)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every tensor of a .safetensors file, in memory of its own, and what its header says beside them.

    Raises:
        GenerationFailed: the file is missing or cut short, or no .safetensors file.
    """
    file_key(path, kind)
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()  # It is no mapping.
            return {name: owned(file.get_tensor(name)) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise unreadable(path, kind, str(error)) from error


def refuse_no_numbers(path: Path, kind: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises GenerationFailed where one of a file's tensors holds NaN or infinity: every picture would come out as that."""
    for name, tensor in tensors.items():
        # Eight bits know no question like that.
        wide = tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
        if not torch.isfinite(wide).all():
            raise damaged(path, kind, f"{name} holds something that is no number")


def damaged(path: Path, kind: str, reason: str) -> GenerationFailed:
    return GenerationFailed(
        f"{kind}_unreadable",
        f"The {KINDS[kind]} {path.name} is damaged: {reason}. Download it again, or choose another.",
        **{kind: path.name},
        reason=reason,
    )


def unreadable(path: Path, kind: str, reason: str) -> GenerationFailed:
    return GenerationFailed(
        f"{kind}_unreadable",
        f"The {KINDS[kind]} {path.name} cannot be read as safetensors: {reason}. Download it again.",
        **{kind: path.name},
        reason=reason,
    )
