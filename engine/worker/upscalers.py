"""Where super-resolution networks come from: a folder of ours, or a file of another's, which spandrel reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.catalog import read_header
from engine.errors import ModelUnavailable
from engine.worker.load_errors import reading_part
from engine.worker.super_resolution import CompactUpscaler

_COMPACT = re.compile(r"body\.\d+\.(weight|bias)")


def read_upscaler(name: str, path: Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A network as the stage wants it, not yet on the device. `dtype`: the engine's; others' networks that cannot compute in
    it do so in single precision.

    Raises:
        ModelUnavailable: it is none that enlarges colour pictures, or spandrel is not here to read it.
    """
    with reading_part(path):
        if path.is_dir():
            return CompactUpscaler.load(path, dtype)
        if (shape := _compact_shape(read_header(path))) is not None:
            network = CompactUpscaler(*shape).to(dtype)
            network.load_state_dict(load_file(path))
            return network.eval()
        return _Foreign(name, path, dtype, device)


def try_to_read(name: str, path: Path) -> None:
    """Read a network and let it go, for who asks whether it can be read.

    Raises:
        ModelUnavailable: as above.
    """
    read_upscaler(name, path, torch.float32, torch.device("cpu"))


def _compact_shape(header: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Features, depth and scale of one of Real-ESRGAN's compact networks, whose layers are called as ours; None: another."""
    if "body.1.weight" not in header or not all(map(_COMPACT.fullmatch, header)):
        return None
    last = max(int(name.split(".")[1]) for name in header)
    depth, scale = (
        (last - 2) // 2,
        math.isqrt(header.get(f"body.{last}.bias", {"shape": [0]})["shape"][0] // 3),
    )
    with torch.device("meta"):
        wanted = CompactUpscaler(features := header["body.0.weight"]["shape"][0], depth, scale).state_dict()
    fits = {key: list(tensor.shape) for key, tensor in wanted.items()} == {
        key: entry["shape"] for key, entry in header.items()
    }
    return (features, depth, scale) if fits else None


class _Foreign(nn.Module):
    """A network that spandrel has read."""

    def __init__(self, name: str, path: Path, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        read = _read_with_spandrel(name, path)
        self._check(name, read)
        if dtype in (torch.float16, torch.bfloat16):
            # Most make the picture itself, and bfloat16 has half as many steps as pictures between middle grey and white.
            half = device.type == "cuda" and read.supports_half
            dtype = torch.float16 if half else torch.float32
        self.scale = int(read.scale)
        self.network = read.model.to(dtype).eval()
        self._dtype, self._call = dtype, read
        """It fills pictures up to the sizes that the network can take."""

    def forward(self, pictures: Tensor) -> Tensor:
        enlarged: Tensor = self._call(pictures.to(self._dtype))
        return enlarged.to(pictures.dtype)

    @staticmethod
    def _check(name: str, read: Any) -> None:
        """Raises ModelUnavailable where it is no network that enlarges colour pictures."""
        if read.purpose not in ("SR", "FaceSR") or read.scale < 2:
            what = f"does {read.purpose} at scale {read.scale}"
        elif (read.input_channels, read.output_channels) != (3, 3):
            what = f"takes {read.input_channels} colours and makes {read.output_channels}"
        else:
            return
        raise ModelUnavailable(
            "model_unsupported",
            f"{name} is a network of the architecture {read.architecture.name} that {what}. Name one in FOURFOLD_UPSCALER that"
            " makes colour pictures at least twice as large.",
            model=name,
            what=what,
        )


def _read_with_spandrel(name: str, path: Path) -> Any:
    """spandrel's descriptor of a network. It is given .safetensors files alone, so that nothing pickled is opened."""
    # Optional, and with it comes torchvision, which most hosts do without.
    try:
        import spandrel
    except (
        ImportError,
        RuntimeError,
        OSError,
    ) as error:  # torchvision for another torch raises RuntimeErrors.
        raise ModelUnavailable(
            "spandrel_missing",
            f"{name} is a super-resolution network that spandrel has to read, and spandrel cannot be imported: {error}. Run"
            " `pip install -e '.[upscalers]'` in Fourfold's folder, with a torchvision that was built for the same torch, or"
            " remove FOURFOLD_UPSCALER to use the embedded one.",
            model=name,
            reason=str(error),
        ) from error
    try:
        return spandrel.ModelLoader().load_from_file(path)
    except spandrel.UnsupportedModelError as error:
        raise ModelUnavailable(
            "model_unsupported",
            f"{name} is no super-resolution network that spandrel knows. Name another one in FOURFOLD_UPSCALER, or remove the"
            " line to use the embedded one.",
            model=name,
            reason=str(error),
        ) from error
