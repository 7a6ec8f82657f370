"""Settings → EngineConfig: where a deployment's words become the engine's."""

from __future__ import annotations

from bot.errors import StartupError
from bot.prompting import VERSIONS
from bot.settings import Settings
from engine import EngineConfig
from engine.catalog import EMBEDDED_DIR
from engine.config import EMBEDDED_MODEL


def engine_config(settings: Settings) -> EngineConfig:
    """What the engine is built with.

    Raises:
        StartupError: FOURFOLD_MODEL names nothing, or two settings contradict each other.
    """
    if not settings.models:
        raise StartupError(
            "FOURFOLD_MODEL is empty. Name a model, or remove the line to use the embedded one."
        )
    if settings.exact and settings.dtype in ("float16", "bfloat16"):
        raise StartupError(
            f"FOURFOLD_EXACT computes in float32, and FOURFOLD_DTYPE is {settings.dtype}. Remove one of the two."
        )
    if settings.exact and settings.compile:
        raise StartupError(
            "FOURFOLD_EXACT runs the model as it is, and FOURFOLD_COMPILE compiles it. Remove one of the two."
        )
    return EngineConfig(
        models=(*settings.models, *_embedded_versions(settings.models)),
        upscaler=settings.upscaler,
        clip=settings.clip,
        model_config_dir=settings.model_config_dir,
        device=settings.device,
        dtype=settings.dtype,
        exact=settings.exact,
        compile=settings.compile,
        row_budget=settings.row_budget,
        memory_budget=settings.memory_budget,
        offload=settings.offload,
        offline=settings.offline,
    )


def _embedded_versions(models: tuple[str, ...]) -> list[str]:
    """What `--v` can name besides: whoever offers the embedded model offers the others that ship beside it."""
    others = [name for name in VERSIONS.values() if name not in models]
    shipped = [name for name in others if (EMBEDDED_DIR / name / "model_index.json").is_file()]
    return shipped if EMBEDDED_MODEL in models else []
