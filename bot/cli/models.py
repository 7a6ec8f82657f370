"""`fourfold models`: the models that are here, read from their files without loading them."""

from __future__ import annotations

import argparse
from dataclasses import replace

from bot.cli.engine_config import engine_config
from bot.settings import Settings
from engine import EngineError, ModelInfo
from engine.catalog import list_models, read_model


def main(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one paragraph per model: the configured ones first, then what else is on disk. Loads no tensors."""
    config = engine_config(settings)
    failed = False
    seen: set[str] = set()
    for name in settings.models:
        try:
            model = read_model(name, config)
        except EngineError as error:
            failed = True
            print(f"{name}\n  cannot be used: {error}")
            continue
        seen.add(model.name)
        _show(model, note="default" if name == settings.models[0] else "configured")
    for model in list_models(replace(config, models=())):
        if model.name not in seen:
            _show(model, note="on disk; name it in FOURFOLD_MODEL to use it")
    return int(failed)


def _show(model: ModelInfo, note: str) -> None:
    print(f"{model.name}  ({note})")
    if not model.present:
        print("  not downloaded yet; its family, size, licence and samplers are known after the download")
        return
    size = f"{model.memory_bytes / 1e6:,.0f} MB"
    print(f"  {model.title} · {model.family} · {model.native_width}×{model.native_height} px · {size}")
    print(f"  licence {model.licence or 'not stated'} · hash {model.hash or '–'}")
    print(f"  {', '.join(model.operations)} · samplers {', '.join(model.samplers)}")
