"""What is wrong with a model's files, in sentences that somebody can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.catalog import is_clip_folder, read_header
from engine.catalog.clips import WEIGHTS
from engine.catalog.files import advice, part_folder, read_json
from engine.catalog.parts import WEIGHTED
from engine.catalog.upscalers import is_upscaler_folder
from engine.errors import EngineError, GenerationFailed, ModelUnavailable
from engine.worker.device import is_out_of_memory


def check_weights(path: Path) -> None:
    """Look at the files of a folder or a single file without reading them whole.

    Raises:
        ModelUnavailable: weights are missing or cut short.
    """
    if not path.is_dir() or is_clip_folder(path):
        read_header(path / WEIGHTS if path.is_dir() else path)
        return
    if is_upscaler_folder(path):
        _check_component(path)
        return
    for component, kind in read_json(path / "model_index.json").items():
        if component in WEIGHTED and isinstance(kind, list) and None not in kind:
            _check_component(part_folder(path, component))


def _check_component(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    parts = {
        part for index in folder.glob("*.safetensors.index.json") for part in _parts(index) if _is_used(index)
    }
    missing = sorted(part for part in parts if not (folder / part).is_file())
    if missing or not files:
        what = missing[0] if missing else "no .safetensors file is there"
        raise ModelUnavailable(
            "model_incomplete",
            f"Weights of {folder} are missing ({what}). Download the model again; pickled weights are not opened.",
            path=str(folder),
        )
    for file in files:
        read_header(file)


def _parts(index: Path) -> set[str]:
    """The files that an index of weights in several parts names."""
    weight_map = read_json(index).get("weight_map")
    return set(weight_map.values()) if isinstance(weight_map, dict) else set()


def _is_used(index: Path) -> bool:
    """Whether a file of this variant is here at all; a download fetches one variant, but may bring every index."""
    return any((index.parent / part).is_file() for part in _parts(index))


@contextmanager
def reading(name: str, path: Path) -> Iterator[None]:
    """Within, a model is read by libraries whose errors say little of its files."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # Whatever a library raises may come of what lies in the files.
        if is_disk_full(error):
            raise disk_full(name, path) from error
        refusal = _refusal(error)
        if refusal is not None:
            file = f" ({refusal.filename})" if refusal.filename else ""
            raise GenerationFailed(
                "model_load_failed",
                f"{name} could not be loaded: {refusal.strerror}{file}. {advice(refusal)}",
                model=name,
                reason=str(refusal),
            ) from error
        if is_of_the_system(error):
            raise
        # A file may have gone, or been cut short, since it was looked at.
        check_weights(path)
        raise


def led_to(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then what led to it: libraries hide the system's errors behind their own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def reading_part(where: Path) -> Iterator[None]:
    """Within, a part's folder, a pipeline's or a single file is read by libraries that speak to programmers.

    Raises:
        ModelUnavailable: in place of what they raise of the files; what the system refuses is for `reading`.
    """
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # Whatever a library raises may come of what lies in the files.
        if is_of_the_system(error):
            raise
        if where.is_file() or (where / "model_index.json").is_file():
            check_weights(where)
        elif where.name in WEIGHTED:
            _check_component(where)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0][:200].rstrip(". :")
        raise ModelUnavailable(
            "model_unreadable",
            f"The files in {where} are damaged, or not what they should be ({reason}). Download the model again.",
            path=str(where),
            reason=reason,
        ) from error


def is_of_the_system(error: BaseException) -> bool:
    """Whether it, or what led to it, lies with the machine: disk, memory or rights, and not with what the files hold."""
    out_of_memory = any(is_out_of_memory(each) for each in led_to(error))
    return is_disk_full(error) or out_of_memory or _refusal(error) is not None


def _refusal(error: BaseException) -> OSError | None:
    """What the system refused and somebody can do something about."""
    return next(
        (each for each in led_to(error) if isinstance(each, OSError) and advice(each) is not None), None
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what led to it, is that the disk or the user's share of it is full."""
    return any(
        isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT) for each in led_to(error)
    )


def disk_full(name: str, path: Path | None, size: int = 0) -> GenerationFailed:
    """`path`: what was to be written or read; `size`: bytes that the whole download takes, where that is known."""
    takes = f" The whole model takes {size / 1e9:.1f} GB." if size else ""
    where = f" ({path})" if path is not None else ""
    return GenerationFailed(
        "disk_full",
        f"{name} could not be loaded, because the disk is full{where}.{takes} Free some space and try again; what has been"
        " downloaded is kept.",
        model=name,
    )
