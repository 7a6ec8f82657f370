"""What a model is, by its name; the list of all."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from engine.catalog.assumptions import assumed, understood
from engine.catalog.checkpoints import read_single_file
from engine.catalog.clips import WEIGHTS, is_clip_folder
from engine.catalog.families import (
    FAMILIES,
    KNOWN_MODELS,
    ModelInfo,
    Operation,
)
from engine.catalog.files import (
    read_json,
    tensor_bytes,
    weights_hash,
)
from engine.catalog.folders import read_folder
from engine.catalog.location import EMBEDDED_DIR, embedded_names, hub_names, locate_model
from engine.catalog.upscalers import is_upscaler
from engine.config import EMBEDDED_CLIP, EMBEDDED_UPSCALER, EngineConfig
from engine.errors import ModelUnavailable
from engine.tiles import MAX_SIDE

_NO_UPSCALER = (
    "FOURFOLD_UPSCALER names {name}, which is a model of the family {family} and enlarges nothing. Name a super-resolution"
    " network in one .safetensors file, or remove the line to use the embedded one."
)
_NO_CLIP = (
    "FOURFOLD_CLIP names {name}, which is a model of the family {family} and compares nothing. Name a folder or hub id of a"
    " CLIP model, such as openai/clip-vit-large-patch14, or remove the line to use the embedded one."
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def read_model(name: str, config: EngineConfig) -> ModelInfo:
    """Say what the model called `name` is: an embedded name, a diffusers folder, a .safetensors file or a hub
    id.

    Raises:
        ModelUnavailable: nothing is there, the file is pickled or unreadable, or its family is not supported.
    """
    path = locate_model(name, config)
    if path is None:
        # Nothing but the name is known before the download; afterwards the model is read again.
        guess = "stable-diffusion-xl" if "xl" in name.lower() else "stable-diffusion"
        family_name = KNOWN_MODELS[name][0] if name in KNOWN_MODELS else guess
        family_name = "clip" if name == config.clip else family_name
        return assumed(name, family_name, FAMILIES[family_name], present=False)
    with understood(path):
        if is_upscaler(path, config):
            return _read_upscaler(name, path)
        if path.is_dir() and is_clip_folder(path):
            return _read_clip(name, path)
        return read_single_file(name, path, config) if path.is_file() else read_folder(name, path)


def configured_models(config: EngineConfig) -> list[ModelInfo]:
    """Every model that is configured, the default first, then their few-step variants; last those that enlarge and compare
    pictures, unless they are the embedded ones and not there.

    Raises:
        ModelUnavailable: one of them does not exist or cannot be read, or cannot do what it is named for.
    """
    found = [read_model(name, config) for name in config.models]
    for name in dict.fromkeys(model.fast for model in found):
        # One that was not taken along is no reason to refuse the model that names it.
        if name and name not in config.models:
            with suppress(ModelUnavailable):
                found.append(read_model(name, config))
    others = configured_upscaler(config), configured_clip(config)
    found.extend(model for model in others if model is not None and model.name not in config.models)
    return found


def configured_upscaler(config: EngineConfig) -> ModelInfo | None:
    """The network that enlarges pictures; None where it is the embedded one and not there.

    Raises:
        ModelUnavailable: it does not exist, cannot be read, or enlarges nothing.
    """
    model = _unless_left_out(config.upscaler, EMBEDDED_UPSCALER, config)
    if model is not None and Operation.UPSCALE not in model.operations:
        sentence = _NO_UPSCALER.format(name=model.name, family=model.family)
        raise ModelUnavailable("upscaler_unfit", sentence, model=model.name)
    return model


def configured_clip(config: EngineConfig) -> ModelInfo | None:
    """The model that compares pictures; None where it is the embedded one and not there.

    Raises:
        ModelUnavailable: it does not exist, cannot be read, or compares nothing.
    """
    model = _unless_left_out(config.clip, EMBEDDED_CLIP, config)
    if model is not None and Operation.EMBED not in model.operations:
        sentence = _NO_CLIP.format(name=model.name, family=model.family)
        raise ModelUnavailable("clip_unfit", sentence, model=model.name)
    return model


def _unless_left_out(name: str, embedded: str, config: EngineConfig) -> ModelInfo | None:
    left_out = name == embedded and not (EMBEDDED_DIR / name / "config.json").is_file()
    return None if left_out else read_model(name, config)


def list_models(config: EngineConfig | None = None) -> list[ModelInfo]:
    """Every model that is here: the configured ones first, then the embedded ones and what the hub cache
    holds.

    A cached or embedded model that cannot be read is left out; a configured one raises ModelUnavailable.
    """
    config = config or EngineConfig()
    found = {name: read_model(name, config) for name in config.models}
    for name in [*embedded_names(), *hub_names(config)]:
        if name not in found:
            try:
                found[name] = read_model(name, config)
            except ModelUnavailable:
                continue
    return list(found.values())


def unknown_words(prompt: str, vocabulary: frozenset[str] | None) -> tuple[str, ...]:
    """The words of a prompt, once each and in order, that the model's declared vocabulary lacks."""
    if vocabulary is None:
        return ()
    known = {part for word in vocabulary for part in (word, *word.split("-"))}
    words = dict.fromkeys(word.lower().replace("’", "'") for word in _WORD.findall(prompt))
    return tuple(word for word in words if word not in known and not known.issuperset(word.split("-")))


def _read_upscaler(name: str, path: Path) -> ModelInfo:
    info = assumed(name, "super-resolution", FAMILIES["super-resolution"], present=True)
    info = replace(info, title=path.stem, min_side=1, max_side=MAX_SIDE)
    if path.is_file():
        return replace(info, memory_bytes=tensor_bytes(path), hash=weights_hash([path]))
    config, weights = read_json(path / "config.json"), path / "model.safetensors"
    for key in ("features", "depth", "scale"):
        if not isinstance(config.get(key), int) or config[key] < (2 if key == "scale" else 1):
            raise ValueError(f"{key} is {config.get(key)!r} in config.json")
    title, licence = config.get("title", info.title), config.get("licence", info.licence)
    size = tensor_bytes(weights)
    return replace(
        info, title=str(title), licence=str(licence), memory_bytes=size, hash=weights_hash([weights])
    )


def _read_clip(name: str, folder: Path) -> ModelInfo:
    config, weights = read_json(folder / "config.json"), folder / WEIGHTS
    if not weights.is_file():
        raise ModelUnavailable(
            "model_without_safetensors",
            f"{name} holds no {WEIGHTS}; pickled weights are refused, because they can run any program when they are opened.",
            model=name,
        )
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    info = assumed(name, "clip", FAMILIES["clip"], present=True)
    side, words = config["vision_config"].get("image_size", 224), card.get("vocabulary")
    return replace(
        info,
        title=str(card.get("title", info.title)),
        licence=str(card.get("licence", info.licence)),
        native_width=side,
        native_height=side,
        min_side=1,
        memory_bytes=tensor_bytes(weights),
        hash=weights_hash([weights]),
        vocabulary=None if words is None else frozenset(word.lower() for word in words),
    )
