"""What a model is, without loading it: read from model_index.json, configs and safetensors headers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What a family can be asked to do."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What callers may know of a model; sizes in pixels, memory in bytes."""

    name: str
    """What requests and FOURFOLD_MODEL call it."""
    title: str
    family: str
    """A key of FAMILIES, equal to the worker registry's."""
    native_width: int
    native_height: int
    size_multiple: int
    min_side: int
    max_side: int
    operations: tuple[Operation, ...]
    samplers: tuple[str, ...]
    default_steps: int
    default_guidance_scale: float
    default_sampler: str
    memory_bytes: int
    """Bytes of all tensors in the dtype they are stored in; 0 while the files are not here."""
    licence: str
    hash: str
    """Ten hexadecimal digits that name the weights; empty while the files are not here."""
    present: bool
    """False for a hub model that has not been downloaded yet; the other values are then its family's assumptions."""
    vocabulary: frozenset[str] | None = None
    """Every word the model was trained on, where it says so (embedded models); None: unknown."""
