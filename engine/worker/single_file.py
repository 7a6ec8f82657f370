"""A model in one .safetensors file, with the names that its tensors have in the original code or in diffusers.

What the file does not hold comes from the diffusers folder that FOURFOLD_MODEL_CONFIG names, as does every configuration:
a file says nothing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_z_image_transformer_checkpoint_to_diffusers,
    fetch_diffusers_config,
)
from safetensors.torch import load_file

from engine.catalog import missing_parts, read_header, single_file_family
from engine.catalog.parts import PARTS
from engine.catalog.single_files import WHOLE
from engine.config import EngineConfig
from engine.errors import GenerationFailed, ModelUnavailable
from engine.worker.components import read_folder
from engine.worker.load_errors import reading_part
from engine.worker.part_weights import refuse_missing

_PIPELINES = {
    "stable-diffusion": diffusers.StableDiffusionPipeline,
    "stable-diffusion-xl": diffusers.StableDiffusionXLPipeline,
}
"""Which pipeline of diffusers takes the single files of a family apart."""
_CONVERTED = {
    "unet": (diffusers.UNet2DConditionModel, convert_ldm_unet_checkpoint),
    "vae": (diffusers.AutoencoderKL, convert_ldm_vae_checkpoint),
}
"""The parts of such files whose layers diffusers renames."""
_TRANSFORMERS = {"flux": diffusers.FluxTransformer2DModel, "z-image": diffusers.ZImageTransformer2DModel}

_FLUX_NAMES = (
    (r"^time_in\.", "time_text_embed.timestep_embedder."),
    (r"^vector_in\.", "time_text_embed.text_embedder."),
    (r"^guidance_in\.", "time_text_embed.guidance_embedder."),
    (r"\.in_layer\.", ".linear_1."),
    (r"\.out_layer\.", ".linear_2."),
    (r"^txt_in\.", "context_embedder."),
    (r"^img_in\.", "x_embedder."),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^final_layer\.adaLN_modulation\.1\.", "norm_out.linear."),
    (r"^double_blocks\.", "transformer_blocks."),
    (r"\.img_mod\.lin\.", ".norm1.linear."),
    (r"\.txt_mod\.lin\.", ".norm1_context.linear."),
    (r"\.img_attn\.norm\.(query|key)_norm\.scale", r".attn.norm_\1.weight"),
    (r"\.txt_attn\.norm\.(query|key)_norm\.scale", r".attn.norm_added_\1.weight"),
    (r"\.img_attn\.proj\.", ".attn.to_out.0."),
    (r"\.txt_attn\.proj\.", ".attn.to_add_out."),
    (r"\.img_mlp\.0\.", ".ff.net.0.proj."),
    (r"\.img_mlp\.2\.", ".ff.net.2."),
    (r"\.txt_mlp\.0\.", ".ff_context.net.0.proj."),
    (r"\.txt_mlp\.2\.", ".ff_context.net.2."),
    (r"^single_blocks\.", "single_transformer_blocks."),
    (r"\.modulation\.lin\.", ".norm.linear."),
    (r"\.linear2\.", ".proj_out."),
    (r"\.norm\.(query|key)_norm\.scale", r".attn.norm_\1.weight"),
    (r"norm_(added_)?query\.", r"norm_\1q."),
    (r"norm_(added_)?key\.", r"norm_\1k."),
)
"""The original code's names → diffusers', applied in turn."""
_FLUX_SPLIT = {
    ".img_attn.qkv.": (".attn.to_q.", ".attn.to_k.", ".attn.to_v."),
    ".txt_attn.qkv.": (".attn.add_q_proj.", ".attn.add_k_proj.", ".attn.add_v_proj."),
    ".linear1.": (".attn.to_q.", ".attn.to_k.", ".attn.to_v.", ".proj_mlp."),
}
"""Layers that are one in the original code and several in diffusers, one above the other."""


def read_single_file(name: str, path: Path, config: EngineConfig, dtype: torch.dtype) -> dict[str, Any]:
    """The parts of a model by name, and its `settings`.

    Raises:
        ModelUnavailable: what the file lacks is not elsewhere, or its configuration is another's. GenerationFailed: the
        configuration could not be downloaded; trying again may help.
    """
    header = read_header(path)
    family = single_file_family(header)
    missing = missing_parts(name, header, config)
    if family in _TRANSFORMERS:
        assert config.model_config_dir is not None, "it has the parts that are missing"
        wanted = [component for component in PARTS if component != "transformer"]
        parts = read_folder(name, config.model_config_dir, dtype, wanted)
        return parts | {"transformer": _read_transformer(name, path, family, config.model_config_dir, dtype)}
    if config.model_config_dir is None and config.offline:
        raise ModelUnavailable(
            "model_config_missing",
            f"{name} is a single file, which says nothing of its configuration, and the engine is offline."
            " Set FOURFOLD_MODEL_CONFIG to a diffusers folder of the same base model.",
            model=name,
        )
    extra: dict[str, Any] = {}
    if config.model_config_dir is not None and missing:
        parts = read_folder(name, config.model_config_dir, dtype, missing)
        extra = {part: parts[part] for part in missing}
    if family == "stable-diffusion":
        # Only its pipeline knows a safety checker; none is fetched for a file that has none.
        extra |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipeline = _PIPELINES[family].from_single_file(
            str(path),
            config=None if config.model_config_dir is None else str(config.model_config_dir),
            torch_dtype=dtype,
            local_files_only=config.offline or config.model_config_dir is not None,
            cache_dir=config.cache_dir,
            **extra,
        )
    except OSError as error:
        if config.model_config_dir is not None:
            raise
        raise GenerationFailed(
            "download_failed",
            f"The configuration that {name} needs could not be fetched: {error}. Check the network, or set"
            " FOURFOLD_MODEL_CONFIG to a diffusers folder of the same base model.",
            model=name,
            reason=str(error),
        ) from error
    except (NotImplementedError, ValueError, RuntimeError, KeyError):
        # What diffusers says of weights that are missing or have other shapes is for programmers.
        with reading_part(path):
            _check_layers(name, path, header, config, missing)
            raise
    parts = {component: getattr(pipeline, component, None) for component in PARTS}
    return parts | {"settings": dict(pipeline.config)}


def _check_layers(
    name: str, path: Path, header: Mapping[str, Any], config: EngineConfig, missing: Sequence[str]
) -> None:
    """Compare what the file holds of UNet and autoencoder with their configurations, by names and shapes alone."""
    checkpoint = {layer: torch.empty(entry["shape"], device="meta") for layer, entry in header.items()}
    base = config.model_config_dir or fetch_diffusers_config(checkpoint)["pretrained_model_name_or_path"]
    for part, (made, convert) in _CONVERTED.items():
        if part in missing:
            continue
        settings = made.load_config(base, subfolder=part, cache_dir=config.cache_dir, local_files_only=True)
        with torch.device("meta"):
            wanted = made.from_config(settings).state_dict()
        found = convert(dict(checkpoint), config=settings)
        for layer, tensor in wanted.items():
            if layer in found and found[layer].shape != tensor.shape:
                got, expected = tuple(found[layer].shape), tuple(tensor.shape)
                raise _does_not_fit(name, Path(base), f"{layer} has the shape {got} instead of {expected}")
        refuse_missing(path, sorted(f"{part} {layer}" for layer in wanted if layer not in found))


def _read_transformer(name: str, path: Path, family: str, folder: Path, dtype: torch.dtype) -> Any:
    tensors = load_file(path)
    if any(tensor.startswith(WHOLE) for tensor in tensors):
        tensors = {
            tensor.removeprefix(WHOLE): value for tensor, value in tensors.items() if tensor.startswith(WHOLE)
        }
    if family == "flux":
        # diffusers' own conversion knows the published width alone.
        tensors = flux_in_diffusers_names(tensors)
    elif "x_embedder.weight" in tensors:
        tensors = convert_z_image_transformer_checkpoint_to_diffusers(tensors)
    made = _TRANSFORMERS[family]
    with torch.device("meta"):
        wanted = made.from_config(made.load_config(folder / "transformer")).state_dict()
    for layer, tensor in wanted.items():
        if layer not in tensors:
            raise _does_not_fit(name, folder, f"it has no layer {layer}")
        got, expected = tuple(tensors[layer].shape), tuple(tensor.shape)
        if got != expected:
            raise _does_not_fit(name, folder, f"{layer} has the shape {got} instead of {expected}")
    return made.from_single_file(
        {layer: tensors[layer] for layer in wanted},
        config=str(folder),
        subfolder="transformer",
        torch_dtype=dtype,
        local_files_only=True,
    )


def flux_in_diffusers_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A FLUX.1 transformer's tensors as diffusers calls them, whichever names they have."""
    if "img_in.weight" not in tensors:
        return dict(tensors)
    width = len(tensors["img_in.weight"])
    converted = {}
    for name, tensor in tensors.items():
        joined = next((each for each in _FLUX_SPLIT if each in name), None)
        if joined is not None:
            parts = tensor.split([width, width, width, len(tensor) - 3 * width][: len(_FLUX_SPLIT[joined])])
            named = {
                name.replace(joined, each): part
                for each, part in zip(_FLUX_SPLIT[joined], parts, strict=True)
            }
        elif name.startswith("final_layer.adaLN_modulation."):
            shift, scale = tensor.chunk(2)
            named = {name: torch.cat([scale, shift])}
        else:
            named = {name: tensor}
        for each, value in named.items():
            for before, now in _FLUX_NAMES:
                each = re.sub(before, now, each)
            # What was split would keep the whole layer's memory.
            converted[each] = value.clone() if joined is not None else value
    return converted


def _does_not_fit(name: str, folder: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        "model_config_mismatch",
        f"{name} does not fit the configuration in {folder}: {reason}. Point FOURFOLD_MODEL_CONFIG at a diffusers folder of"
        " the same base model.",
        model=name,
        reason=reason,
    )
