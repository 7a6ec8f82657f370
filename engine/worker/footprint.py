"""What a model takes of the device's memory, read from its files' headers before anything is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.catalog import is_clip_folder, is_upscaler, missing_parts, read_header, single_file_family
from engine.catalog.clips import WEIGHTS
from engine.catalog.files import weight_files
from engine.catalog.single_files import WHOLE
from engine.config import EngineConfig
from engine.errors import ModelUnavailable

_STAYS = ("vae", "movq", "safety_checker")
"""Components that are on the device all the time, with offload too: small, and not called layer by layer."""
_SINGLE_FILE = {"model.diffusion_model": "unet", "first_stage_model": "vae"}
"""What the tensors of a single file begin with; all others are text encoders."""
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class Footprint:
    """Bytes of weights in the dtype that they are loaded in."""

    whole: int
    """All of it at once."""
    offloaded: int
    """The most that is on the device at once where the denoiser's blocks and the text encoders' layers come one by one."""


def measure(path: Path, dtype: torch.dtype, config: EngineConfig | None = None) -> Footprint:
    """Of a folder, or of a single file and what it lacks.

    Raises:
        ModelUnavailable: a weights file is cut short, or gone.
    """
    config = config or EngineConfig()
    if is_upscaler(path, config):
        # Networks of others may compute in single precision where the engine does not.
        wide = dtype if dtype == torch.float64 else torch.float32
        files = [path] if path.is_file() else path.glob("*.safetensors")
        whole = sum(size for file in files for _, size in _sizes(file, wide))
        return Footprint(whole, whole)
    if path.is_dir() and is_clip_folder(path):
        whole = sum(size for _, size in _sizes(path / WEIGHTS, dtype))
        return Footprint(whole, whole)
    tensors = list(_folder(path, dtype) if path.is_dir() else _single_file(path, dtype, config))
    if not tensors:
        raise ModelUnavailable(
            "model_without_safetensors",
            f"{path} holds no .safetensors weights any more. Download the model again.",
            path=str(path),
        )
    stays = sum(size for component, _, size in tensors if component in _STAYS)
    return Footprint(sum(size for _, _, size in tensors), stays + _largest_at_once(tensors))


def _largest_at_once(tensors: Iterable[tuple[str, str, int]]) -> int:
    """Of what comes and goes: a block beside what belongs to no block, or a layer of a text encoder."""
    blocks: Counter[str] = Counter()
    rest: Counter[str] = Counter()
    largest = 0
    for component, name, size in tensors:
        parts = name.split(".")
        if component in _STAYS:
            continue
        if component.startswith("text_encoder"):
            largest = max(largest, size)
        elif len(parts) > 1 and parts[1].isdecimal():
            blocks[f"{component} {parts[0]} {parts[1]}"] += size
        else:
            rest[component] += size
    for component in {*rest, *(block.split()[0] for block in blocks)}:
        its = (size for block, size in blocks.items() if block.split()[0] == component)
        largest = max(largest, rest[component] + max(its, default=0))
    return largest


def _folder(folder: Path, dtype: torch.dtype) -> Iterator[tuple[str, str, int]]:
    for part, file in weight_files(folder):
        for name, size in _sizes(file, dtype):
            yield part, name, size


def _single_file(file: Path, dtype: torch.dtype, config: EngineConfig) -> Iterator[tuple[str, str, int]]:
    header = read_header(file)
    transformer = single_file_family(header) in ("flux", "z-image")
    alone = not any(name.startswith(WHOLE) for name in header)
    for name, size in _sizes(file, dtype):
        if transformer:
            # Whatever else such a file holds is taken from the folder.
            if alone or name.startswith(WHOLE):
                yield "transformer", name.removeprefix(WHOLE), size
            continue
        prefix = next((prefix for prefix in _SINGLE_FILE if name.startswith(prefix)), None)
        # Blocks are named otherwise in these files; the UNet counts as one.
        yield ("text_encoder", name, size) if prefix is None else (_SINGLE_FILE[prefix], "whole", size)
    missing = missing_parts(str(file), header, config)
    if config.model_config_dir is not None:
        yield from (part for part in _folder(config.model_config_dir, dtype) if part[0] in missing)


def _sizes(file: Path, dtype: torch.dtype) -> Iterator[tuple[str, int]]:
    """Names and bytes of a file's tensors as they are loaded: floats in the engine's dtype, others as they are."""
    for name, entry in read_header(file).items():
        begin, end = entry["data_offsets"]
        count = 1
        for side in entry["shape"]:
            count *= side
        yield name, count * dtype.itemsize if entry["dtype"] in _FLOATS else end - begin
