"""Text ↔ parameters ↔ requests: pure functions without I/O.

parameters   ONE table, a row per --flag, that drives parser, help and errors
parser       what was typed → Prompt, and back
planning     sampling, sizes and seeds; plan(job) → the engine's request
versions     which model --v and --draft ask for
metadata     the text that pictures carry about how they were made
"""

from __future__ import annotations

from bot.prompting.metadata import SAMPLER_NAMES, a1111_parameters, generation_text, model_label
from bot.prompting.parameters import PARAMETERS, ParameterRow
from bot.prompting.parser import MAX_PROMPT_CHARACTERS, Prompt, format_parameters, format_prompt, parse
from bot.prompting.planning import (
    DEFAULT_PICTURES,
    VARY_STRENGTH,
    asked_size,
    heeded,
    picture_seeds,
    plan,
    request_of,
    sampling_for,
    size_for,
    source_count,
    unheeded,
)
from bot.prompting.versions import VERSIONS, chosen_model

__all__ = [
    "DEFAULT_PICTURES",
    "MAX_PROMPT_CHARACTERS",
    "PARAMETERS",
    "SAMPLER_NAMES",
    "VARY_STRENGTH",
    "VERSIONS",
    "ParameterRow",
    "Prompt",
    "a1111_parameters",
    "asked_size",
    "chosen_model",
    "format_parameters",
    "format_prompt",
    "generation_text",
    "heeded",
    "model_label",
    "parse",
    "picture_seeds",
    "plan",
    "request_of",
    "sampling_for",
    "size_for",
    "source_count",
    "unheeded",
]
