"""Where a model's files are: embedded, a folder, a single file, the hub's cache; and what is refused unopened."""

from __future__ import annotations

import re
from pathlib import Path

from engine.catalog.clips import WEIGHTS, is_clip_folder
from engine.catalog.upscalers import is_upscaler_folder
from engine.config import EngineConfig
from engine.errors import ModelUnavailable

EMBEDDED_DIR = Path(__file__).parents[1] / "embedded"

_PICKLED = {".ckpt", ".bin", ".pt", ".pth", ".pkl"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def locate_model(name: str, config: EngineConfig) -> Path | None:
    """The folder or file that holds a model; None for a hub id that is not in the cache.

    Raises:
        ModelUnavailable: the name is a path that does not exist or a pickled file, or an embedded model is
        missing.
    """
    embedded = EMBEDDED_DIR / name
    if re.fullmatch(r"[\w.-]+", name) and _is_model(embedded):
        return embedded
    path = Path(name).expanduser()
    if path.suffix.lower() in _PICKLED:
        raise ModelUnavailable(
            "model_pickled",
            f"{name} is a pickled checkpoint, which can run any program when it is opened, so it is refused."
            " Use the .safetensors version of the model.",
            model=name,
        )
    if path.is_dir():
        if not _is_model(path):
            raise ModelUnavailable(
                "model_not_diffusers",
                f"The folder {name} holds no model_index.json, so it is not a diffusers model. Name the"
                f" folder that"
                " holds model_index.json, or a single .safetensors file.",
                model=name,
            )
        return path
    if path.is_file():
        if path.suffix.lower() != ".safetensors":
            raise ModelUnavailable(
                "model_not_safetensors",
                f"{name} is not a .safetensors file, the only kind of single file that is read.",
                model=name,
            )
        return path
    if _HUB_ID.fullmatch(name) and path.suffix.lower() != ".safetensors":
        return _hub_snapshot(name, config)
    if path.name == name and not path.suffix:
        raise ModelUnavailable(
            "model_unknown",
            f"There is no model called {name}. Embedded models: {', '.join(embedded_names()) or 'none'}."
            f" Others are"
            " named by a hub id (owner/name), a folder or a .safetensors file.",
            model=name,
            embedded=", ".join(embedded_names()),
        )
    raise ModelUnavailable(
        "model_path_missing",
        f"The model path {name} does not exist. Check {_setting_of(name, config)}.",
        model=name,
        path=str(path),
    )


def _setting_of(name: str, config: EngineConfig) -> str:
    """Which setting names it."""
    others = {config.upscaler: "FOURFOLD_UPSCALER", config.clip: "FOURFOLD_CLIP"}
    return "FOURFOLD_MODEL" if name in config.models else others.get(name, "FOURFOLD_MODEL")


def _is_model(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() or is_upscaler_folder(folder) or is_clip_folder(folder)


def _hub_snapshot(name: str, config: EngineConfig) -> Path | None:
    """The newest complete snapshot of a hub model in the cache."""
    folder = _hub_cache(config) / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = folder / "snapshots" / reference.read_text().strip()
    if is_clip_folder(snapshot) and (snapshot / WEIGHTS).is_file():
        return snapshot
    denoisers = (file for part in ("unet", "transformer") for file in snapshot.glob(f"{part}/*.safetensors"))
    complete = (snapshot / "model_index.json").is_file() and any(denoisers)
    return snapshot if complete and any(snapshot.glob("vae/*.safetensors")) else None


def hub_names(config: EngineConfig) -> list[str]:
    folders = sorted(_hub_cache(config).glob("models--*--*"))
    names = [folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders]
    return [name for name in names if _HUB_ID.fullmatch(name) and _hub_snapshot(name, config) is not None]


def _hub_cache(config: EngineConfig) -> Path:
    if config.cache_dir is not None:
        return config.cache_dir
    # Imported here because it is needed only for hub models, and every command-line start would pay for it.
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def embedded_names() -> list[str]:
    return sorted(index.parent.name for index in EMBEDDED_DIR.glob("*/model_index.json"))
