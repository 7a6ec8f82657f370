"""What models there are and what each is, without loading any.

models.py     a model's ModelInfo, from its own files or assumed of its family; the list of all; unknown words
families.py   the one table of families, and the types
location.py   which folder or file a name means
single_files.py  what one .safetensors file holds of a model, and what it lacks
upscalers.py  which files enlarge pictures
clips.py       which folders hold a contrastive text–image model
parts.py      what the parts of a model are called
files.py      JSON, safetensors headers, a hash of the weights
"""

from __future__ import annotations

from engine.catalog.clips import is_clip_folder
from engine.catalog.families import FAMILIES, SAMPLER_MAX_STEPS, Family, Guidance, ModelInfo, Operation
from engine.catalog.files import read_header
from engine.catalog.location import EMBEDDED_DIR, locate_model
from engine.catalog.models import configured_models, list_models, read_model, unknown_words
from engine.catalog.single_files import missing_parts, single_file_family
from engine.catalog.upscalers import is_upscaler

__all__ = [
    "EMBEDDED_DIR",
    "FAMILIES",
    "SAMPLER_MAX_STEPS",
    "Family",
    "Guidance",
    "ModelInfo",
    "Operation",
    "configured_models",
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
