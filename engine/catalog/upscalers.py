"""Which folders and files hold a super-resolution network, told by their configuration or by the names of their tensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.catalog.files import read_header, read_json
from engine.catalog.single_files import WHOLE, single_file_family
from engine.config import EngineConfig

ARCHITECTURE = "compact"
"""What `config.json` in a folder of ours says beside `features`, `depth` and `scale`; `model.safetensors` lies beside it."""

_OWN_TENSORS = frozenset(
    {
        "conv_first.weight",  # ESRGAN (RRDB), SwinIR, HAT, DAT and most that came after
        "conv_first.1.weight",
        "model.1.sub.0.RDB1.conv1.0.weight",  # ESRGAN in its first form
        "body.1.weight",  # Real-ESRGAN's compact networks
        "conv_1.sk.weight",  # SPAN
        "unet1.conv1.conv.0.weight",  # Real-CUGAN
        "residual_layer.0.residual_layer.0.layer.0.fn.0.weight",  # OmniSR
        "feats.0.safm.aggr.weight",  # SAFMN
        "gblocks.0.weight",  # MoSR
        "body.0.body.0.body.3.conv_du.0.weight",  # RCAN
    }
)
"""Tensors by which spandrel tells such networks, each of which no model of another family has."""
_PREFIXES = ("module.", "netG.")
"""What training leaves before all names."""
_OTHERS = (WHOLE, "first_stage_model.", "cond_stage_model.", "conditioner.")
"""What tensors of checkpoints begin with that draw pictures."""


def is_upscaler(path: Path, config: EngineConfig) -> bool:
    """Whether it is a super-resolution network: by its looks, or named as the upscaler and nothing else that is known.

    Raises:
        ModelUnavailable: the file cannot be read.
    """
    if path.is_dir():
        return is_upscaler_folder(path)
    names = list(read_header(path))
    if any(name.removeprefix(prefix) in _OWN_TENSORS for prefix in ("", *_PREFIXES) for name in names):
        return True
    return Path(config.upscaler).expanduser() == path and not _draws(names)


def is_upscaler_folder(folder: Path) -> bool:
    """Whether it holds a network of our own format."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    return config.is_file() and weights.is_file() and read_json(config).get("architecture") == ARCHITECTURE


def _draws(names: Iterable[str]) -> bool:
    names = list(names)
    return single_file_family(names) in ("flux", "z-image") or any(name.startswith(_OTHERS) for name in names)
