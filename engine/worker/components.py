"""The parts that a diffusers folder is made of, each built by a class that is known to fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from engine.catalog import FAMILIES
from engine.catalog.files import part_folder
from engine.catalog.parts import PARTS, WEIGHTED
from engine.errors import ModelUnavailable
from engine.worker.embedding_space import EmbeddingSpace
from engine.worker.load_errors import reading_part
from engine.worker.part_weights import read_part
from engine.worker.super_resolution import CompactUpscaler


def read_folder(
    name: str, folder: Path, dtype: torch.dtype, wanted: Sequence[str] | None = None
) -> dict[str, Any]:
    """The parts of a diffusers folder by name, and its `settings`; None for those that it lacks or that are not `wanted`."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    parts: dict[str, Any] = {
        "settings": {key: value for key, value in index.items() if not isinstance(value, list | tuple)}
    }
    for component in PARTS:
        _, class_name = index.get(component) or (None, None)
        if wanted is not None and component not in wanted:
            class_name = None
        if class_name is None or (
            component == "safety_checker" and index.get("requires_safety_checker") is False
        ):
            parts[component] = None
            continue
        made = _component_class(name, component, class_name)
        here = part_folder(folder, component)
        with reading_part(here):
            if made is EmbeddingSpace:
                parts[component] = EmbeddingSpace.load(here).to(dtype)
            elif made is CompactUpscaler:
                parts[component] = CompactUpscaler.load(here, dtype)
            elif component in WEIGHTED:
                parts[component] = read_part(made, here, dtype)
            else:
                parts[component] = made.from_pretrained(here)
    return parts


def _component_class(name: str, component: str, class_name: str) -> Any:
    """The class for a component of model_index.json; only classes that are known to fit are built."""
    match component, class_name:
        case "tokenizer" | "tokenizer_2" | "prior_tokenizer", "CLIPTokenizer" | "CLIPTokenizerFast":
            return transformers.CLIPTokenizer
        case "tokenizer_2", "T5Tokenizer" | "T5TokenizerFast":
            return transformers.T5Tokenizer
        case "tokenizer", "Qwen2Tokenizer" | "Qwen2TokenizerFast":
            return transformers.Qwen2Tokenizer
        case "text_encoder", "Qwen3Model" | "Qwen3ForCausalLM":
            return getattr(transformers, class_name)
        case "text_encoder", "CLIPTextModel":
            return transformers.CLIPTextModel
        case "text_encoder" | "text_encoder_2" | "prior_text_encoder", "CLIPTextModelWithProjection":
            return transformers.CLIPTextModelWithProjection
        case "image_encoder" | "prior_image_encoder", "CLIPVisionModelWithProjection":
            return transformers.CLIPVisionModelWithProjection
        case "prior" | "prior_prior", "PriorTransformer":
            return diffusers.PriorTransformer
        case "decoder", "UNet2DConditionModel":
            return diffusers.UNet2DConditionModel
        case "super_res_first" | "super_res_last", "UNet2DModel":
            return diffusers.UNet2DModel
        case "super_resolution", "CompactUpscaler":
            return CompactUpscaler
        case "embedding_space", "EmbeddingSpace":
            return EmbeddingSpace
        case "movq", "VQModel":
            return diffusers.VQModel
        case "text_proj", "UnCLIPTextProjModel":
            from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

            return UnCLIPTextProjModel
        case "image_normalizer", "StableUnCLIPImageNormalizer":
            from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
                StableUnCLIPImageNormalizer,
            )

            return StableUnCLIPImageNormalizer
        case "text_encoder_2", "T5EncoderModel":
            return transformers.T5EncoderModel
        case "unet", "UNet2DConditionModel":
            return diffusers.UNet2DConditionModel
        case "transformer", "FluxTransformer2DModel":
            return diffusers.FluxTransformer2DModel
        case "transformer", "ZImageTransformer2DModel":
            return diffusers.ZImageTransformer2DModel
        case "vae", "AutoencoderKL" | "AutoencoderTiny":
            return getattr(diffusers, class_name)
        case _, _ if component.endswith("scheduler") and _is_scheduler(class_name):
            return getattr(diffusers, class_name)
        case (
            "feature_extractor" | "prior_image_processor",
            "CLIPImageProcessor" | "CLIPFeatureExtractor" | "CLIPImageProcessorPil",
        ):
            # The default class of this name needs torchvision; this one does the same with Pillow.
            from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

            return CLIPImageProcessorPil
        case "safety_checker", "StableDiffusionSafetyChecker":
            # Not exported by the package, and few checkpoints have one.
            from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

            return StableDiffusionSafetyChecker
    raise ModelUnavailable(
        "model_unsupported",
        f"{name} has a {component} of the class {class_name}, which is not supported. Supported are checkpoints of"
        f" {', '.join(FAMILIES)} with diffusers' usual parts.",
        model=name,
        what=class_name,
    )


def _is_scheduler(class_name: str) -> bool:
    return class_name.endswith("Scheduler") and hasattr(diffusers, class_name)
