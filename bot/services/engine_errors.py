"""The engine's errors as sentences for users."""

from __future__ import annotations

import logging

from bot.errors import UserError
from engine import EngineDead, EngineError, RequestRejected

log = logging.getLogger(__name__)

ENGINE_DEAD = "engine_dead"
"""The engine also ends running requests with this code when its thread stops."""
ENGINE_CLOSED = "engine_closed"
"""The program is ending; jobs stay as they are and run after the next start."""


_TOLD = frozenset(
    {
        "error.out_of_memory",
        "error.download_failed",
        "error.model_too_large",
        "error.model_load_failed",
        "error.disk_full",
        "error.model_unreadable",
        "error.model_incomplete",
        "error.model_config_mismatch",
        "error.model_config_missing",
        "error.model_not_downloaded",
        "error.model_pickled",
        "error.model_unsupported",
        "error.picture_not_finite",
        "error.decode_not_finite",
        "error.picture_unreadable",
        "error.picture_too_large",
        "error.text_difference_unsupported",
        "error.mask_empty",
        "error.mask_mismatch",
        "error.prompt_weights_not_positive",
        "error.prompt_weights_cancel_out",
        "error.clip_skip_out_of_range",
        "error.adapter_missing",
        "error.adapter_unreadable",
        "error.adapter_mismatch",
        "error.adapter_kind_unsupported",
        "error.adapter_layer_unsupported",
        "error.embedding_missing",
        "error.embedding_unreadable",
        "error.embedding_unknown",
        "error.embedding_mismatch",
        "error.vae_missing",
        "error.vae_unreadable",
        "error.vae_mismatch",
    }
)
"""The engine's codes that have a sentence of their own: each names what somebody can do."""

_TOLD_AS = {
    **dict.fromkeys(
        ("model_path_missing", "model_unknown", "model_not_diffusers", "model_not_safetensors"),
        "error.model_not_there",
    ),
    "model_without_safetensors": "error.model_pickled",
    **dict.fromkeys(
        (
            "device_unavailable",
            "dtype_unknown",
            "offload_unknown",
            "spandrel_missing",
            "upscaler_unfit",
            "clip_unfit",
        ),
        "error.engine_misconfigured",
    ),
    "generation_failed": "error.internal_error",
}
"""Those that a user need not tell apart."""


def as_user_error(error: EngineError) -> UserError:
    """What the user is told. What a library or the system said may name the host's files and stays in the log."""
    if isinstance(error, EngineDead) or error.code == ENGINE_DEAD:
        return UserError("engine_dead")
    told = f"error.{error.code}" in _TOLD
    if isinstance(error, RequestRejected):
        return UserError(error.code) if told else UserError("request_rejected", reason=str(error))
    log.warning("the engine could not serve a request: %s (%s)", error, error.code)
    if told:
        return UserError(error.code)
    # A code that is not known here, of another engine than the local one, is told as a mistake of the program.
    return UserError(_TOLD_AS.get(error.code, "error.internal_error").removeprefix("error."))
