"""What a model is that lies in one .safetensors file, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.catalog.assumptions import assumed, unsupported
from engine.catalog.families import FAMILIES, ModelInfo, Operation
from engine.catalog.files import read_header, read_json, tensor_bytes, weight_files, weights_hash
from engine.catalog.folders import with_configs, with_transformer
from engine.catalog.single_files import WHOLE, missing_parts, single_file_family
from engine.config import EngineConfig
from engine.errors import ModelUnavailable


def read_single_file(name: str, path: Path, config: EngineConfig) -> ModelInfo:
    header = read_header(path)
    family_name = single_file_family(header)
    info = replace(assumed(name, family_name, FAMILIES[family_name], present=True), title=path.stem)
    if family_name in ("flux", "z-image"):
        missing_parts(name, header, config)  # Without a folder nothing else can be said.
        assert config.model_config_dir is not None, "it has the parts that are missing"
        info = _with_file_of_transformer(info, header, config.model_config_dir)
    else:
        info = _with_file_of_unet(info, header, config)
    elsewhere = [
        file
        for part in missing_parts(name, header, config)
        for its, file in weight_files(config.model_config_dir or path.parent)
        if its == part
    ]
    size = sum(map(tensor_bytes, [path, *elsewhere]))
    return replace(info, memory_bytes=size, hash=weights_hash([path]))


def _with_file_of_unet(info: ModelInfo, header: Mapping[str, Any], config: EngineConfig) -> ModelInfo:
    name = info.name
    first = header.get(f"{WHOLE}input_blocks.0.0.weight")
    cross = next((key for key in header if key.endswith("attn2.to_k.weight") and key.startswith(WHOLE)), None)
    if first is None or cross is None:
        raise unsupported(
            name, "not a whole Stable Diffusion checkpoint (its UNet's first layers are missing)"
        )
    width, channels = header[cross]["shape"][1], first["shape"][1]
    if channels not in (4, 9):
        raise unsupported(name, f"a checkpoint whose UNet takes {channels} channels")
    if channels == 9:
        # Made for inpainting: it was never trained to draw without a mask and what is kept beside it.
        info = replace(info, operations=(Operation.INPAINT,))
    if config.model_config_dir is not None:
        unet = read_json(config.model_config_dir / "unet" / "config.json")
        _check_config(
            name,
            config.model_config_dir,
            "text vectors of so many numbers",
            width,
            unet["cross_attention_dim"],
        )
        _check_config(name, config.model_config_dir, "so many channels", channels, unet.get("in_channels", 4))
        return with_configs(info, config.model_config_dir)
    if info.family == "stable-diffusion-xl":
        if width != 2048:
            raise unsupported(name, f"a checkpoint whose UNet reads text vectors of {width} numbers")
    elif width == 1024:
        info = replace(info, native_width=768, native_height=768, max_side=1536)
    elif width != 768:
        raise unsupported(name, f"a checkpoint whose UNet reads text vectors of {width} numbers")
    return info


def _with_file_of_transformer(info: ModelInfo, header: Mapping[str, Any], folder: Path) -> ModelInfo:
    transformer = read_json(folder / "transformer" / "config.json")
    shapes = {name.removeprefix(WHOLE): entry["shape"] for name, entry in header.items()}
    if info.family == "flux":
        first = shapes.get("img_in.weight") or shapes.get("x_embedder.weight") or [0, 0]
        _check_config(info.name, folder, "so many channels", first[1], transformer.get("in_channels"))
        guided = any("guidance" in name for name in shapes)
        _check_config(
            info.name,
            folder,
            "the guidance scale as a condition",
            guided,
            bool(transformer.get("guidance_embeds")),
        )
    else:
        first = shapes.get("cap_embedder.1.weight") or [0, 0]
        _check_config(
            info.name, folder, "text vectors of so many numbers", first[1], transformer.get("cap_feat_dim")
        )
    return with_transformer(info, folder)


def _check_config(name: str, folder: Path, what: str, got: object, expected: object) -> None:
    if got != expected:
        raise ModelUnavailable(
            "model_config_mismatch",
            f"{name} reads {what}: {got}; the configuration in {folder} is for {expected}. Point FOURFOLD_MODEL_CONFIG at"
            " the configuration of the same base model.",
            model=name,
            got=got,
            expected=expected,
        )
