"""What a model is, without loading it: read from model_index.json, configs and safetensors headers."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.config import EngineConfig
from engine.errors import ModelUnavailable


class Operation(StrEnum):
    """What a family can be asked to do."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What callers may know of a model; sizes in pixels, memory in bytes."""

    name: str
    """What requests and FOURFOLD_MODEL call it."""
    title: str
    family: str
    """A key of FAMILIES, equal to the worker registry's."""
    native_width: int
    native_height: int
    size_multiple: int
    min_side: int
    max_side: int
    operations: tuple[Operation, ...]
    samplers: tuple[str, ...]
    default_steps: int
    default_guidance_scale: float
    default_sampler: str
    memory_bytes: int
    """Bytes of all tensors in the dtype they are stored in; 0 while the files are not here."""
    licence: str
    hash: str
    """Ten hexadecimal digits that name the weights; empty while the files are not here."""
    present: bool
    """False for a hub model that is not downloaded yet; the rest is then what its family assumes."""
    vocabulary: frozenset[str] | None = None
    """Every word the model was trained on, where it says so (embedded models); None: unknown."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the models of a family share, and what is assumed of one that is not here; sizes in pixels."""

    pipelines: tuple[str, ...]
    """The `_class_name`s in model_index.json that belong to it."""
    stages: tuple[str, ...]
    operations: tuple[Operation, ...]
    samplers: tuple[str, ...]
    size_multiple: int
    native_side: int
    default_steps: int
    default_guidance_scale: float
    default_sampler: str


FAMILIES: Mapping[str, Family] = {
    "stable-diffusion": Family(
        pipelines=(
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "LatentConsistencyModelPipeline",
        ),
        stages=("denoise",),
        operations=(Operation.TEXT_TO_IMAGE, Operation.IMAGE_TO_IMAGE),
        samplers=("ddim", "euler", "euler_a", "dpmpp_2m_karras", "unipc", "lcm"),
        size_multiple=8,
        native_side=512,
        default_steps=25,
        default_guidance_scale=7.5,
        default_sampler="dpmpp_2m_karras",
    ),
}
"""One row per family; the worker's registry has the same keys, and a test holds them equal."""

SAMPLER_MAX_STEPS: Mapping[str, int] = {"lcm": 50}
"""Latent consistency models pick their steps out of the 50 they were distilled from."""

EMBEDDED_DIR = Path(__file__).parent / "embedded"

_SAMPLER_OF_SCHEDULER = {
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_a",
    "DPMSolverMultistepScheduler": "dpmpp_2m_karras",
    "UniPCMultistepScheduler": "unipc",
    "LCMScheduler": "lcm",
}
_PICKLED = {".ckpt", ".bin", ".pt", ".pth", ".pkl"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def read_model(name: str, config: EngineConfig) -> ModelInfo:
    """Say what the model called `name` is: an embedded name, a diffusers folder, a .safetensors file or a hub
    id.

    Raises:
        ModelUnavailable: nothing is there, the file is pickled or unreadable, or its family is not supported.
    """
    path = locate_model(name, config)
    if path is None:
        family = FAMILIES["stable-diffusion"]
        return _assumed(name, "stable-diffusion", family, present=False)
    if path.is_file():
        return _read_single_file(name, path, config)
    return _read_folder(name, path)


def locate_model(name: str, config: EngineConfig) -> Path | None:
    """The folder or file that holds a model; None for a hub id that is not in the cache.

    Raises:
        ModelUnavailable: the name is a path that does not exist or a pickled file, or an embedded model is
        missing.
    """
    embedded = EMBEDDED_DIR / name
    if re.fullmatch(r"[\w.-]+", name) and (embedded / "model_index.json").is_file():
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
        if not (path / "model_index.json").is_file():
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
            f"There is no model called {name}. Embedded models: {', '.join(_embedded_names()) or 'none'}."
            f" Others are"
            " named by a hub id (owner/name), a folder or a .safetensors file.",
            model=name,
            embedded=", ".join(_embedded_names()),
        )
    raise ModelUnavailable(
        "model_path_missing",
        f"The model path {name} does not exist. Check FOURFOLD_MODEL.",
        model=name,
        path=str(path),
    )


def list_models(config: EngineConfig | None = None) -> list[ModelInfo]:
    """Every model that is here: the configured ones first, then the embedded ones and what the hub cache
    holds.

    A cached or embedded model that cannot be read is left out; a configured one raises ModelUnavailable.
    """
    config = config or EngineConfig()
    found = {name: read_model(name, config) for name in config.models}
    for name in [*_embedded_names(), *_hub_names(config)]:
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


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: tensor name → dtype, shape and offsets.

    Raises:
        ModelUnavailable: the file is too short, or its header is not what the format asks for.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise ValueError("the header claims to be larger than 100 MB")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is not an object")
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if path.stat().st_size != 8 + length + end:
            raise ValueError("the file is cut short")
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            "model_unreadable",
            f"{path} cannot be read as safetensors: {error}. Download the file again.",
            path=str(path),
            reason=str(error),
        ) from error
    return header


def _read_folder(name: str, folder: Path) -> ModelInfo:
    index = _read_json(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    family_name = next((key for key, family in FAMILIES.items() if pipeline in family.pipelines), None)
    if family_name is None:
        raise _unsupported(name, f"a {pipeline}")
    unet = _read_json(folder / "unet" / "config.json")
    if unet.get("in_channels", 4) == 9:
        raise _unsupported(name, "an inpainting model (its UNet takes 9 channels)")
    if unet.get("addition_embed_type") not in (None, "text"):
        raise _unsupported(name, f"a UNet with {unet['addition_embed_type']} conditions")
    info = _with_configs(_assumed(name, family_name, FAMILIES[family_name], present=True), folder)
    weights = list(_weight_files(folder))
    if not weights:
        raise ModelUnavailable(
            "model_without_safetensors",
            f"{name} holds no .safetensors weights; pickled weights are refused, because they can run any"
            f" program"
            " when they are opened.",
            model=name,
        )
    return replace(info, memory_bytes=sum(map(_tensor_bytes, weights)), hash=_weights_hash(weights))


def _read_single_file(name: str, path: Path, config: EngineConfig) -> ModelInfo:
    header = read_header(path)
    if "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight" in header:
        raise _unsupported(name, "a Stable Diffusion XL checkpoint")
    first = header.get("model.diffusion_model.input_blocks.0.0.weight")
    cross = next(
        (key for key in header if key.endswith("attn2.to_k.weight") and key.startswith("model.diff")), None
    )
    if first is None or cross is None:
        raise _unsupported(
            name, "not a whole Stable Diffusion checkpoint (its UNet's first layers are missing)"
        )
    if first["shape"][1] != 4:
        raise _unsupported(name, f"a checkpoint whose UNet takes {first['shape'][1]} channels")
    width = header[cross]["shape"][1]
    info = _assumed(name, "stable-diffusion", FAMILIES["stable-diffusion"], present=True)
    if config.model_config_dir is not None:
        expected = _read_json(config.model_config_dir / "unet" / "config.json").get("cross_attention_dim")
        if expected != width:
            raise ModelUnavailable(
                "model_config_mismatch",
                f"{name} reads text vectors of {width} numbers, the configuration in"
                f" {config.model_config_dir} is for"
                f" {expected}. Point FOURFOLD_MODEL_CONFIG at the configuration of the same base model.",
                model=name,
                got=width,
                expected=expected,
            )
        info = _with_configs(info, config.model_config_dir)
    elif width == 1024:
        info = replace(info, native_width=768, native_height=768, max_side=1536)
    elif width != 768:
        raise _unsupported(name, f"a checkpoint whose UNet reads text vectors of {width} numbers")
    return replace(info, title=path.stem, memory_bytes=_tensor_bytes(path), hash=_weights_hash([path]))


def _with_configs(info: ModelInfo, folder: Path) -> ModelInfo:
    """Replace the family's assumptions by what the folder's own configurations and fourfold.json say."""
    unet = _read_json(folder / "unet" / "config.json")
    vae = _read_json(folder / "vae" / "config.json")
    blocks = vae.get("block_out_channels") or vae.get("decoder_block_out_channels") or [0] * 4
    factor = 2 ** (len(blocks) - 1)
    side = unet.get("sample_size") or info.native_width // factor
    height, width = (side, side) if isinstance(side, int) else side
    card = _read_json(folder / "fourfold.json") if (folder / "fourfold.json").is_file() else {}
    native = card.get("native_size", [width * factor, height * factor])
    native_width, native_height = (native, native) if isinstance(native, int) else native
    multiple = math.lcm(info.size_multiple, factor)
    defaults = card.get("defaults", {})
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
    sampler = defaults.get("sampler", _SAMPLER_OF_SCHEDULER.get(scheduler, info.default_sampler))
    words = card.get("vocabulary")
    if isinstance(words, Mapping):
        words = [word for group in words.values() for word in group]
    return replace(
        info,
        title=card.get("title", info.title),
        licence=card.get("licence", info.licence),
        native_width=native_width,
        native_height=native_height,
        size_multiple=multiple,
        min_side=card.get(
            "min_side", max(multiple, min(native_width, native_height) // 4 // multiple * multiple)
        ),
        max_side=card.get("max_side", 2 * max(native_width, native_height)),
        default_steps=defaults.get("num_inference_steps", 4 if sampler == "lcm" else info.default_steps),
        default_guidance_scale=float(defaults.get("guidance_scale", info.default_guidance_scale)),
        default_sampler=sampler,
        vocabulary=None if words is None else frozenset(word.lower() for word in words),
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
        licence="unknown: see the model's own page",
        hash="",
        present=present,
    )


def _weight_files(folder: Path) -> Iterable[Path]:
    """The safetensors files that loading would open; where a component has two variants, the plain one."""
    for component in ("text_encoder", "unet", "vae", "safety_checker"):
        files = sorted((folder / component).glob("*.safetensors"), key=lambda file: file.name.count("."))
        yield from (file for file in files if file.name.count(".") == files[0].name.count("."))


def _tensor_bytes(path: Path) -> int:
    return sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in read_header(path).values())


def _weights_hash(files: Iterable[Path]) -> str:
    """Name weights by size, header and 32 samples per file: fine-tunes differ in the samples alone."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            digest.update(file.read(4096))
            for index in range(32):
                file.seek(max(0, size - 4096) * index // 31)
                digest.update(file.read(4096))
    return digest.hexdigest()[:10]


def _hub_snapshot(name: str, config: EngineConfig) -> Path | None:
    """The newest complete snapshot of a hub model in the cache."""
    folder = _hub_cache(config) / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = folder / "snapshots" / reference.read_text().strip()
    complete = (snapshot / "model_index.json").is_file() and any(snapshot.glob("unet/*.safetensors"))
    return snapshot if complete and any(snapshot.glob("vae/*.safetensors")) else None


def _hub_names(config: EngineConfig) -> list[str]:
    folders = sorted(_hub_cache(config).glob("models--*--*"))
    names = [folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders]
    return [name for name in names if _HUB_ID.fullmatch(name) and _hub_snapshot(name, config) is not None]


def _hub_cache(config: EngineConfig) -> Path:
    if config.cache_dir is not None:
        return config.cache_dir
    # Imported here because it is needed only for hub models, and every command-line start would pay for it.
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _embedded_names() -> list[str]:
    return sorted(index.parent.name for index in EMBEDDED_DIR.glob("*/model_index.json"))


def _unsupported(name: str, what: str) -> ModelUnavailable:
    supported = ", ".join(f"{key} ({' / '.join(family.pipelines)})" for key, family in FAMILIES.items())
    return ModelUnavailable(
        "model_unsupported",
        f"{name} is {what}, which is not supported. Supported families: {supported}, versions 1.x and 2.x.",
        model=name,
        what=what,
        supported=supported,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it does not hold an object")
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            "model_unreadable",
            f"{path} cannot be read: {error}. Download the model again.",
            path=str(path),
            reason=str(error),
        ) from error
    return value
