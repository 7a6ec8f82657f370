"""What models there are and what each is, without loading any.

models        what a model is, by its name; the list of all; unknown words
families      the one table of families, and the types
assumptions   what is taken for granted of a family
folders       what a diffusers folder says        checkpoints    what a single file says
location      which folder or file a name means   single_files   what one file holds, and what it lacks
upscalers, clips   which files and folders enlarge pictures, and compare them with texts
parts         what the parts of a model are called
files         JSON, safetensors headers, a hash of the weights
"""

from __future__ import annotations

from engine.catalog.clips import is_clip_folder
from engine.catalog.families import (
    FAMILIES,
    SAMPLER_MAX_STEPS,
    Family,
    FewSteps,
    Guidance,
    ModelInfo,
    Operation,
)
from engine.catalog.files import read_header
from engine.catalog.location import EMBEDDED_DIR, locate_model
from engine.catalog.models import (
    configured_clip,
    configured_models,
    configured_upscaler,
    list_models,
    read_model,
    unknown_words,
)
from engine.catalog.single_files import missing_parts, single_file_family
from engine.catalog.upscalers import is_upscaler

__all__ = [
    "EMBEDDED_DIR",
    "FAMILIES",
    "SAMPLER_MAX_STEPS",
    "Family",
    "FewSteps",
    "Guidance",
    "ModelInfo",
    "Operation",
    "configured_clip",
    "configured_models",
    "configured_upscaler",
    "is_clip_folder",
    "is_upscaler",
    "list_models",
    "locate_model",
    "missing_parts",
    "read_header",
    "read_model",
    "single_file_family",
    "unknown_words",
]
