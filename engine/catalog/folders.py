"""What a model is, read from the configurations of a diffusers folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.catalog.assumptions import assumed, sides, understood, unsupported, with_card, with_weights
from engine.catalog.families import FAMILIES, UNET_SAMPLERS, FewSteps, Guidance, ModelInfo, Operation
from engine.catalog.files import check_components, read_json
from engine.errors import ModelUnavailable
from engine.tiles import SCALES


def read_folder(name: str, folder: Path) -> ModelInfo:
    index = read_json(folder / "model_index.json")
    if "_class_name" not in index:
        raise ModelUnavailable(
            "model_unreadable",
            f"{folder / 'model_index.json'} does not say which pipeline the model is for (_class_name). Download the model"
            " again.",
            path=str(folder),
            reason="no _class_name",
        )
    pipeline = str(index.get("_class_name"))
    family_name = next((key for key, family in FAMILIES.items() if pipeline in family.pipelines), None)
    if family_name is None:
        raise unsupported(name, f"a {pipeline}")
    info = assumed(name, family_name, FAMILIES[family_name], present=True)
    info = replace(info, fast=str(index.get("fast_variant", "")))
    if family_name == "auto-pipeline":
        return with_weights(_with_own_pipeline(info, folder), folder)
    check_components(folder, index)
    if family_name == "unclip":
        return with_weights(_with_cascade(info, folder, index), folder)
    if family_name == "kandinsky":
        return with_weights(_with_image_conditions(info, folder), folder)
    if family_name in ("flux", "z-image"):
        return with_weights(with_transformer(info, folder), folder)
    if family_name == "stable-unclip":
        return with_weights(with_configs(_doing(info, index), folder), folder)
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("in_channels") == 9:
        # Made for inpainting: it was never trained to draw without a mask and what is kept beside it.
        info = replace(info, operations=(Operation.INPAINT,))
    expected = ("text_time",) if family_name == "stable-diffusion-xl" else (None, "text")
    if unet.get("addition_embed_type") not in expected:
        raise unsupported(name, f"a {pipeline} whose UNet has {unet.get('addition_embed_type')} conditions")
    if index.get("requires_aesthetics_score"):
        raise unsupported(name, "an SDXL refiner, which goes on with another model's latents")
    if read_json(folder / "vae" / "config.json").get("latents_mean") is not None:
        raise unsupported(name, "a model with an autoencoder and a noise schedule of its own (EDM)")
    return with_weights(with_configs(info, folder), folder)


def with_configs(info: ModelInfo, folder: Path) -> ModelInfo:
    """Replace the family's assumptions by what the folder's own configurations and fourfold.json say."""
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("time_cond_proj_dim"):
        info = replace(info, guidance=Guidance.CONDITION)
    vae = read_json(folder / "vae" / "config.json")
    blocks = vae.get("block_out_channels") or vae.get("decoder_block_out_channels") or [0] * 4
    factor = 2 ** (len(blocks) - 1)
    with understood(folder / "unet" / "config.json"):
        height, width = sides(unet.get("sample_size") or info.native_width // factor)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    index = read_json(folder / "model_index.json")
    with understood(folder / "fourfold.json" if card else folder):
        info = _enlarging(info, index)
        factor *= info.enlarges
        info = replace(info, few_steps=_few_steps(info, card, folder))
        return with_card(info, card, scheduler, (width * factor, height * factor), factor)


def _few_steps(info: ModelInfo, card: Mapping[str, Any], folder: Path) -> FewSteps | None:
    """What fourfold.json says of a variant that is a LoRA in the folder. Raises ValueError and the like."""
    said = card.get("few_steps")
    if said is None:
        return None
    adapter = folder / Path(str(said["adapter"])).name
    if adapter.suffix != ".safetensors" or not adapter.is_file():
        raise ValueError(f"{adapter.name} is no .safetensors file of the folder")
    if said["sampler"] not in info.samplers:
        raise ValueError(f"{said['sampler']!r} is none of the samplers {', '.join(info.samplers)}")
    return FewSteps(
        adapter=adapter,
        num_inference_steps=int(said["num_inference_steps"]),
        guidance_scale=float(said["guidance_scale"]),
        sampler=said["sampler"],
    )


def _with_cascade(info: ModelInfo, folder: Path, index: Mapping[str, Any]) -> ModelInfo:
    """What can be asked of an unCLIP folder, and how large its pictures come out."""
    info = _doing(info, index)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    scheduler = read_json(folder / "decoder_scheduler" / "scheduler_config.json")
    if scheduler.get("_class_name") != "UnCLIPScheduler":
        info = replace(info, samplers=UNET_SAMPLERS)
    last = "super_res_first" if _has(index, "super_res_first") else "decoder"
    with understood(folder / last / "config.json"):
        drawn, _ = sides(read_json(folder / last / "config.json").get("sample_size"))
    with understood(folder / "fourfold.json" if card else folder):
        info = _enlarging(info, index)
        side = drawn * int(index.get("patch", 1)) * info.enlarges
        info = replace(info, size_multiple=side)
        only = {"native_size": side, "min_side": side, "max_side": side}
        return with_card(info, only | card, scheduler, (side, side), 1)


def _doing(info: ModelInfo, index: Mapping[str, Any]) -> ModelInfo:
    """What can be asked of a folder with CLIP's embeddings in it: texts need a prior, pictures an encoder."""
    doing = ((Operation.TEXT_TO_IMAGE, "prior"), (Operation.VARIATION, "image_encoder"))
    return replace(info, operations=tuple(operation for operation, part in doing if _has(index, part)))


def _has(index: Mapping[str, Any], part: str) -> bool:
    return isinstance(index.get(part), list) and None not in index[part]


def _enlarging(info: ModelInfo, index: Mapping[str, Any]) -> ModelInfo:
    """How many times as large a model with a super-resolution network of its own says that it makes its pictures."""
    enlarges = int(index.get("enlarges", 1))
    if enlarges not in (1, *SCALES):
        raise ValueError(
            f"a model cannot enlarge {enlarges} times; {', '.join(map(str, SCALES))} are possible"
        )
    return replace(info, enlarges=enlarges)


def _with_image_conditions(info: ModelInfo, folder: Path) -> ModelInfo:
    """What a Kandinsky folder's decoder says of its size, of what it can be asked, and of its sampler."""
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("addition_embed_type") != "image":
        raise unsupported(
            info.name, f"a Kandinsky whose UNet has {unet.get('addition_embed_type')} conditions"
        )
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    told = scheduler.get("variance_type"), scheduler.get("prediction_type", "epsilon")
    if told[0] in ("learned", "fixed_large_log") or told[1] not in ("epsilon", "sample"):
        raise unsupported(info.name, f"a Kandinsky whose decoder predicts {told[1]} with {told[0]} variances")
    movq = read_json(folder / "movq" / "config.json")
    if unet.get("in_channels") == 2 * movq.get("latent_channels", 4) + 1:
        # Made for inpainting: it was never trained to draw without a mask and what is kept beside it.
        info = replace(info, operations=(Operation.INPAINT,))
    factor = 2 ** (len(movq.get("block_out_channels") or [0] * 4) - 1)
    height, width = sides(unet.get("sample_size") or info.native_width // factor)
    # diffusers' pipelines round to as many latents as there are pixels to each.
    info = replace(info, size_multiple=factor**2)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    with understood(folder / "fourfold.json" if card else folder):
        return with_card(info, card, scheduler, (width * factor, height * factor), factor**2)


def _with_own_pipeline(info: ModelInfo, folder: Path) -> ModelInfo:
    """The size of a model that runs as diffusers' own pipeline, where its configurations say it."""

    def config(*parts: str) -> dict[str, Any]:
        paths = [folder / part / "config.json" for part in parts]
        return next((read_json(path) for path in paths if path.is_file()), {})

    vae = config("vae", "movq")
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or [0] * 4
    factor = 2 ** (len(blocks) - 1)
    sample = config("transformer", "unet").get("sample_size")
    side = sample * factor if isinstance(sample, int) else info.native_width
    multiple = math.lcm(info.size_multiple, factor)
    return replace(
        info,
        native_width=side,
        native_height=side,
        size_multiple=multiple,
        min_side=max(multiple, side // 4 // multiple * multiple),
        max_side=2 * side,
    )


def with_transformer(info: ModelInfo, folder: Path) -> ModelInfo:
    """What a Diffusion Transformer's configurations say of its size and of the guidance that it reads."""
    transformer = read_json(folder / "transformer" / "config.json")
    blocks = read_json(folder / "vae" / "config.json").get("block_out_channels") or [0] * 4
    if transformer.get("guidance_embeds"):  # FLUX.1 [dev]
        info = replace(info, default_steps=28, default_guidance_scale=3.5, guidance=Guidance.EMBEDDED)
    elif info.family == "z-image" and info.title.lower().endswith(("z-image", "z-image-base")):
        info = replace(info, default_steps=50, default_guidance_scale=4.0)
    factor = 2 ** (len(blocks) - 1)
    side = info.native_width * factor // 8
    # Z-Image's positions come from a table.
    farthest = min((transformer.get("axes_lens") or [0, 2 * side, 2 * side])[1:]) * 2 * factor
    return replace(
        info,
        native_width=side,
        native_height=side,
        size_multiple=2 * factor,
        min_side=max(2 * factor, side // 4 // (2 * factor) * 2 * factor),
        max_side=min(2 * side, farthest),
    )
