"""The weights of a model's part: all of them are there, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.errors import ModelUnavailable


def read_part(made: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Build a class of diffusers or transformers from a folder's configuration and .safetensors files.

    Raises:
        ModelUnavailable: weights are missing, which the libraries would draw at random, or have other shapes than the
        configuration says.
    """
    part, found = made.from_pretrained(
        folder,
        torch_dtype=dtype,
        use_safetensors=True,
        variant=variant_of(folder),
        output_loading_info=True,
        # Otherwise they end in advice for programmers.
        ignore_mismatched_sizes=True,
    )
    for layer, got, expected in sorted(found["mismatched_keys"]):
        raise ModelUnavailable(
            "model_unreadable",
            f"{layer} in {folder} has the shape {tuple(got)}, and the config.json beside it says {tuple(expected)}: the two"
            " belong to different models. Download the model again.",
            path=str(folder),
            layer=layer,
        )
    # What weights are tied to, and buffers of older versions, are not among these.
    refuse_missing(folder, sorted(found["missing_keys"]))
    return part


def check_whole(part: torch.nn.Module, where: Path) -> None:
    """Refuse a part that was built without reading some of its weights. Raises ModelUnavailable."""
    tensors = [*part.named_parameters(), *part.named_buffers()]
    refuse_missing(where, [name for name, tensor in tensors if tensor.is_meta])


def refuse_missing(where: Path, missing: list[str]) -> None:
    """Raises ModelUnavailable where any layer is `missing`, which it names."""
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelUnavailable(
            "model_incomplete",
            f"{where} lacks weights: {missing[0]}{others} cannot be found in it. Download the model again, or choose another.",
            path=str(where),
            missing=missing[0],
        )


def variant_of(folder: Path) -> str | None:
    """`fp16` where a component ships only as `….fp16.safetensors`."""
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    if not names or any(name.count(".") == 1 for name in names):
        return None
    # Large components come in parts, `….fp16-00001-of-00002.safetensors`.
    return names[0].split(".")[1].split("-")[0]
