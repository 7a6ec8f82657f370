"""What the files of a model say: JSON, safetensors headers, and a name for the weights."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.catalog.parts import WEIGHTED
from engine.errors import ModelUnavailable

_ADVICE = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "Let the user that Fourfold runs as read the file and enter the folders above it.",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        "More files are open than the system allows: raise that limit (`ulimit -n`) and restart Fourfold.",
    ),
    errno.EIO: "The disk did not give its content: look after the disk or the network that it hangs on, and try again.",
}


_PLAIN = re.compile(r"\w[\w.-]*")
"""The name of a folder, that leads nowhere else."""
_WITH_CONFIG = tuple(part for part in WEIGHTED if part not in ("safety_checker", "embedding_space"))


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: tensor name → dtype, shape and offsets.

    Raises:
        ModelUnavailable: the file is too short, or its header is not what the format asks for.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise ValueError("the header claims to be larger than 100 MB")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is not an object")
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if path.stat().st_size != 8 + length + end:
            raise ValueError("the file is cut short")
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        if _is_pickled(path):
            raise ModelUnavailable(
                "model_pickled",
                f"{path} is a pickled checkpoint that was renamed; it can run any program when it is opened, so it is"
                " refused. Use the .safetensors version of the model.",
                model=str(path),
            ) from error
        raise _unreadable(path, error, " as safetensors", "Download the file again.") from error
    return header


def _is_pickled(path: Path) -> bool:
    """Whether a file that is no safetensors file begins as those of torch.save do, today's (ZIP) or the older ones."""
    try:
        with path.open("rb") as file:
            begin = file.read(2)
    except OSError:
        return False
    return begin in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it does not hold an object")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "", "Download the model again.") from error
    return value


def _unreadable(path: Path, error: Exception, what: str, otherwise: str) -> ModelUnavailable:
    """`what`: as what it cannot be read; `otherwise`: what to do where the file itself is to blame."""
    if isinstance(error, OSError) and (todo := advice(error)) is not None:
        code, sentence = "model_load_failed", f"{path} cannot be read: {error.strerror}. {todo}"
    else:
        code, sentence = "model_unreadable", f"{path} cannot be read{what}: {error}. {otherwise}"
    return ModelUnavailable(code, sentence, path=str(path), reason=str(error))


def advice(error: OSError) -> str | None:
    """What to do where the system refuses a file that may well be whole."""
    return _ADVICE.get(error.errno or 0)


def check_components(folder: Path, index: Mapping[str, Any]) -> None:
    """What model_index.json names is there. Without this the libraries go on with an empty vocabulary or default sizes.

    Raises:
        ModelUnavailable: a component's folder lacks its configuration or its vocabulary, or the former says nothing.
    """
    for component, kind in index.items():
        if not isinstance(kind, list) or None in kind:
            continue
        here = part_folder(folder, component)
        if component.startswith("tokenizer"):
            vocabularies = (["vocab.json", "merges.txt"], ["tokenizer.json"], ["spiece.model"])
            if not any(all((here / file).is_file() for file in files) for files in vocabularies):
                raise ModelUnavailable(
                    "model_incomplete",
                    f"{here} holds no vocabulary ({' or '.join(' and '.join(files) for files in vocabularies)}). Download the"
                    " model again.",
                    path=str(here),
                )
        elif component in _WITH_CONFIG and not read_json(here / "config.json"):
            raise ModelUnavailable(
                "model_incomplete",
                f"{here / 'config.json'} is empty. Download the model again.",
                path=str(here),
            )


def part_folder(folder: Path, part: str) -> Path:
    """Where a model's part lies: in its own folder, or where model_index.json says under `_shared` in that of another model
    beside it, by name. Embedded models share CLIP so.
    """
    own, index = folder / part, folder / "model_index.json"
    if own.is_dir() or not index.is_file():
        return own
    shared = read_json(index).get("_shared")
    name = shared.get(part) if isinstance(shared, dict) else None
    return folder.parent / name if isinstance(name, str) and _PLAIN.fullmatch(name) else own


def weight_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The safetensors files that loading would open, and the part that each belongs to; where a part has two variants, the
    plain one.
    """
    for part in WEIGHTED:
        files = sorted(part_folder(folder, part).glob("*.safetensors"), key=lambda file: file.name.count("."))
        yield from ((part, file) for file in files if file.name.count(".") == files[0].name.count("."))


def tensor_bytes(path: Path) -> int:
    return sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in read_header(path).values())


def weights_hash(files: Iterable[Path]) -> str:
    """Name weights by size, header and 32 samples per file: fine-tunes differ in the samples alone."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            digest.update(file.read(4096))
            for index in range(32):
                file.seek(max(0, size - 4096) * index // 31)
                digest.update(file.read(4096))
    return digest.hexdigest()[:10]
