"""What a model is, read from its files or assumed of its family."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.catalog.families import (
    FAMILIES,
    KNOWN_MODELS,
    UNET_SAMPLERS,
    Family,
    Guidance,
    ModelInfo,
    Operation,
)
from engine.catalog.files import (
    check_components,
    read_header,
    read_json,
    tensor_bytes,
    weight_files,
    weights_hash,
)
from engine.catalog.location import EMBEDDED_DIR, embedded_names, hub_names, locate_model
from engine.catalog.single_files import WHOLE, missing_parts, single_file_family
from engine.catalog.upscalers import is_upscaler, is_upscaler_folder
from engine.config import EMBEDDED_UPSCALER, EngineConfig
from engine.errors import ModelUnavailable
from engine.tiles import MAX_SIDE, SCALES

_SAMPLER_OF_SCHEDULER = {
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_a",
    "DPMSolverMultistepScheduler": "dpmpp_2m_karras",
    "UniPCMultistepScheduler": "unipc",
    "HeunDiscreteScheduler": "heun",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
}
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
        return _assumed(name, family_name, FAMILIES[family_name], present=False)
    with _understood(path):
        if is_upscaler(path, config):
            return _read_upscaler(name, path)
        return _read_single_file(name, path, config) if path.is_file() else _read_folder(name, path)


def configured_models(config: EngineConfig) -> list[ModelInfo]:
    """Every model that is configured, the default first; the upscaler last, unless it is the embedded one and not there.

    Raises:
        ModelUnavailable: one of them does not exist or cannot be read, or the upscaler is none.
    """
    found = [read_model(name, config) for name in config.models]
    name = config.upscaler
    missing = name == EMBEDDED_UPSCALER and not is_upscaler_folder(EMBEDDED_DIR / name)
    if missing or name in config.models:
        return found
    upscaler = read_model(name, config)
    if Operation.UPSCALE not in upscaler.operations:
        raise ModelUnavailable(
            "upscaler_unfit",
            f"FOURFOLD_UPSCALER names {name}, which is a model of the family {upscaler.family} and enlarges nothing. Name a"
            " super-resolution network in one .safetensors file, or remove the line to use the embedded one.",
            model=name,
        )
    return [*found, upscaler]


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


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Within, values of a file, or of the files of a model, are taken as what they should be. Raises ModelUnavailable."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ModelUnavailable(
            "model_unreadable",
            f"{path} holds a value that cannot be what is meant there ({reason}). Put it right, or download the model again.",
            path=str(path),
            reason=reason,
        ) from error


def _read_folder(name: str, folder: Path) -> ModelInfo:
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
        raise _unsupported(name, f"a {pipeline}")
    assumed = _assumed(name, family_name, FAMILIES[family_name], present=True)
    if family_name == "auto-pipeline":
        return _with_weights(_with_own_pipeline(assumed, folder), folder)
    check_components(folder, index)
    if family_name == "unclip":
        return _with_weights(_with_cascade(assumed, folder, index), folder)
    if family_name == "kandinsky":
        return _with_weights(_with_image_conditions(assumed, folder), folder)
    if family_name in ("flux", "z-image"):
        return _with_weights(_with_transformer(assumed, folder), folder)
    if family_name == "stable-unclip":
        return _with_weights(_with_configs(_doing(assumed, index), folder), folder)
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("in_channels") == 9:
        # Made for inpainting: it was never trained to draw without a mask and what is kept beside it.
        assumed = replace(assumed, operations=(Operation.INPAINT,))
    expected = ("text_time",) if family_name == "stable-diffusion-xl" else (None, "text")
    if unet.get("addition_embed_type") not in expected:
        raise _unsupported(name, f"a {pipeline} whose UNet has {unet.get('addition_embed_type')} conditions")
    if index.get("requires_aesthetics_score"):
        raise _unsupported(name, "an SDXL refiner, which goes on with another model's latents")
    if read_json(folder / "vae" / "config.json").get("latents_mean") is not None:
        raise _unsupported(name, "a model with an autoencoder and a noise schedule of its own (EDM)")
    return _with_weights(_with_configs(assumed, folder), folder)


def _with_weights(info: ModelInfo, folder: Path) -> ModelInfo:
    weights = [file for _, file in weight_files(folder)]
    if not weights:
        raise ModelUnavailable(
            "model_without_safetensors",
            f"{info.name} holds no .safetensors weights; pickled weights are refused, because they can run any"
            " program when they are opened.",
            model=info.name,
        )
    return replace(info, memory_bytes=sum(map(tensor_bytes, weights)), hash=weights_hash(weights))


def _read_upscaler(name: str, path: Path) -> ModelInfo:
    assumed = _assumed(name, "super-resolution", FAMILIES["super-resolution"], present=True)
    info = replace(assumed, title=path.stem, min_side=1, max_side=MAX_SIDE)
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


def _read_single_file(name: str, path: Path, config: EngineConfig) -> ModelInfo:
    header = read_header(path)
    family_name = single_file_family(header)
    info = replace(_assumed(name, family_name, FAMILIES[family_name], present=True), title=path.stem)
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
        raise _unsupported(
            name, "not a whole Stable Diffusion checkpoint (its UNet's first layers are missing)"
        )
    width, channels = header[cross]["shape"][1], first["shape"][1]
    if channels not in (4, 9):
        raise _unsupported(name, f"a checkpoint whose UNet takes {channels} channels")
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
        return _with_configs(info, config.model_config_dir)
    if info.family == "stable-diffusion-xl":
        if width != 2048:
            raise _unsupported(name, f"a checkpoint whose UNet reads text vectors of {width} numbers")
    elif width == 1024:
        info = replace(info, native_width=768, native_height=768, max_side=1536)
    elif width != 768:
        raise _unsupported(name, f"a checkpoint whose UNet reads text vectors of {width} numbers")
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
    return _with_transformer(info, folder)


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


def _with_configs(info: ModelInfo, folder: Path) -> ModelInfo:
    """Replace the family's assumptions by what the folder's own configurations and fourfold.json say."""
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("time_cond_proj_dim"):
        info = replace(info, guidance=Guidance.CONDITION)
    vae = read_json(folder / "vae" / "config.json")
    blocks = vae.get("block_out_channels") or vae.get("decoder_block_out_channels") or [0] * 4
    factor = 2 ** (len(blocks) - 1)
    with _understood(folder / "unet" / "config.json"):
        height, width = _sides(unet.get("sample_size") or info.native_width // factor)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    index = read_json(folder / "model_index.json")
    with _understood(folder / "fourfold.json" if card else folder):
        info = _enlarging(info, index)
        factor *= info.enlarges
        return _with_card(info, card, scheduler, (width * factor, height * factor), factor)


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


def _with_cascade(info: ModelInfo, folder: Path, index: Mapping[str, Any]) -> ModelInfo:
    """What can be asked of an unCLIP folder, and how large its pictures come out."""
    info = _doing(info, index)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    scheduler = read_json(folder / "decoder_scheduler" / "scheduler_config.json")
    if scheduler.get("_class_name") != "UnCLIPScheduler":
        info = replace(info, samplers=UNET_SAMPLERS)
    last = "super_res_first" if _has(index, "super_res_first") else "decoder"
    with _understood(folder / last / "config.json"):
        drawn, _ = _sides(read_json(folder / last / "config.json").get("sample_size"))
    with _understood(folder / "fourfold.json" if card else folder):
        info = _enlarging(info, index)
        side = drawn * info.enlarges
        info = replace(info, size_multiple=side)
        only = {"native_size": side, "min_side": side, "max_side": side}
        return _with_card(info, only | card, scheduler, (side, side), 1)


def _with_image_conditions(info: ModelInfo, folder: Path) -> ModelInfo:
    """What a Kandinsky folder's decoder says of its size, of what it can be asked, and of its sampler."""
    unet = read_json(folder / "unet" / "config.json")
    if unet.get("addition_embed_type") != "image":
        raise _unsupported(
            info.name, f"a Kandinsky whose UNet has {unet.get('addition_embed_type')} conditions"
        )
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    told = scheduler.get("variance_type"), scheduler.get("prediction_type", "epsilon")
    if told[0] in ("learned", "fixed_large_log") or told[1] not in ("epsilon", "sample"):
        raise _unsupported(
            info.name, f"a Kandinsky whose decoder predicts {told[1]} with {told[0]} variances"
        )
    movq = read_json(folder / "movq" / "config.json")
    if unet.get("in_channels") == 2 * movq.get("latent_channels", 4) + 1:
        # Made for inpainting: it was never trained to draw without a mask and what is kept beside it.
        info = replace(info, operations=(Operation.INPAINT,))
    factor = 2 ** (len(movq.get("block_out_channels") or [0] * 4) - 1)
    height, width = _sides(unet.get("sample_size") or info.native_width // factor)
    # diffusers' pipelines round to as many latents as there are pixels to each.
    info = replace(info, size_multiple=factor**2)
    card = read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    with _understood(folder / "fourfold.json" if card else folder):
        return _with_card(info, card, scheduler, (width * factor, height * factor), factor**2)


def _sides(value: Any) -> tuple[int, int]:
    """Of one number or two, each a length."""
    sides = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    for side in sides:
        if not isinstance(side, int) or side < 1:
            raise ValueError(f"{side!r} is no length of a side")
    return sides[0], sides[1]


def _with_card(
    info: ModelInfo,
    card: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    native: tuple[int, int],
    factor: int,
) -> ModelInfo:
    """What fourfold.json says, else the configurations. Raises ValueError and the like for values that cannot be."""
    native_width, native_height = _sides(card.get("native_size", native))
    multiple = math.lcm(info.size_multiple, factor)
    smallest = max(multiple, min(native_width, native_height) // 4 // multiple * multiple)
    min_side, max_side = _sides(
        (card.get("min_side", smallest), card.get("max_side", 2 * max(native_width, native_height)))
    )
    defaults = card.get("defaults", {})
    own_sampler = _SAMPLER_OF_SCHEDULER.get(scheduler.get("_class_name", ""), info.default_sampler)
    sampler = defaults.get("sampler", own_sampler)
    if sampler not in info.samplers:
        raise ValueError(f"{sampler!r} is none of the samplers {', '.join(info.samplers)}")
    distilled = _looks_distilled(scheduler)
    steps = 4 if sampler in ("lcm", "tcd") or distilled else info.default_steps
    words = card.get("vocabulary")
    if isinstance(words, Mapping):
        words = [word for group in words.values() for word in group]
    return replace(
        info,
        title=str(card.get("title", info.title)),
        licence=str(card.get("licence", info.licence)),
        native_width=native_width,
        native_height=native_height,
        size_multiple=multiple,
        min_side=min_side,
        max_side=max_side,
        default_steps=int(defaults.get("num_inference_steps", steps)),
        default_guidance_scale=float(
            defaults.get("guidance_scale", 1.0 if distilled else info.default_guidance_scale)
        ),
        default_sampler=sampler,
        vocabulary=None if words is None else frozenset(word.lower() for word in words),
    )


def _looks_distilled(scheduler: Mapping[str, object]) -> bool:
    """Turbo and Lightning models say of themselves only that their few steps start at the very last timestep.

    Models with zero terminal SNR start there too, but take as many steps and as much guidance as any.
    """
    return (
        scheduler.get("timestep_spacing") == "trailing"
        and scheduler.get("prediction_type", "epsilon") == "epsilon"
        and not scheduler.get("rescale_betas_zero_snr", False)
    )


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


def _with_transformer(info: ModelInfo, folder: Path) -> ModelInfo:
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


def _assumed(name: str, family_name: str, family: Family, *, present: bool) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=Path(name).name,
        family=family_name,
        native_width=family.native_side,
        native_height=family.native_side,
        size_multiple=family.size_multiple,
        min_side=family.native_side // 4,
        max_side=2 * family.native_side,
        operations=family.operations,
        samplers=family.samplers,
        default_steps=family.default_steps,
        default_guidance_scale=family.default_guidance_scale,
        default_sampler=family.default_sampler,
        memory_bytes=0,
        licence=KNOWN_MODELS[name][1] if name in KNOWN_MODELS else "unknown: see the model's own page",
        hash="",
        present=present,
        guidance=family.guidance,
    )


def _unsupported(name: str, what: str) -> ModelUnavailable:
    supported = ", ".join(
        f"{key} ({' / '.join(family.pipelines)})" for key, family in FAMILIES.items() if family.pipelines
    )
    return ModelUnavailable(
        "model_unsupported",
        f"{name} is {what}, which is not supported. Supported families: {supported}.",
        model=name,
        what=what,
        supported=supported,
    )
