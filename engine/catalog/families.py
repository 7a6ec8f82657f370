"""What the families of models share: one table of their operations, samplers and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Operation(StrEnum):
    """What a family can be asked to do."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    INPAINT = "inpaint"
    VARIATION = "variation"
    """Pictures after the image embeddings of others."""
    UPSCALE = "upscale"
    DESCRIBE = "describe"
    EMBED = "embed"


DRAWING = (Operation.TEXT_TO_IMAGE, Operation.IMAGE_TO_IMAGE, Operation.INPAINT)


class Guidance(StrEnum):
    """What the guidance scale does, and so how many rows a picture takes in a step."""

    CLASSIFIER_FREE = "classifier-free"
    """Above 1 every picture takes a second, unconditional row."""
    FROM_ZERO = "from zero"
    """The same, above 0: the scale is what is added to the conditional prediction (Z-Image)."""
    EMBEDDED = "embedded"
    """The scale is a condition like the text: one row; a negative prompt adds a second one."""
    CONDITION = "condition"
    """The scale is a condition, and nothing else of guidance is read; one row (UNets distilled into consistency models)."""
    NONE = "none"
    """The scale and the negative prompt are not read; one row."""

    @property
    def contrasts(self) -> bool:
        """Whether there can be a second row for predictions to be led away from, which a negative prompt is read for."""
        return self not in (Guidance.CONDITION, Guidance.NONE)


@dataclass(frozen=True, kw_only=True)
class FewSteps:
    """How a model draws in a few steps: with a LoRA that lies in its folder, so that such pictures share steps with others."""

    adapter: Path
    num_inference_steps: int
    guidance_scale: float
    sampler: str


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
    guidance: Guidance = Guidance.CLASSIFIER_FREE
    few_steps: FewSteps | None = None
    """Its few-step variant, where that is a LoRA."""
    fast: str = ""
    """The name of its few-step variant, where that is a model of its own; empty where there is none."""
    enlarges: int = 1
    """How many times as large as what it draws its pictures are: its own super-resolution network enlarges them. Sizes are
    those of the pictures."""


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
    guidance: Guidance = Guidance.CLASSIFIER_FREE
    mixes_sizes: bool = False
    """Pictures of different sizes may share a step."""
    alone: bool = False
    """A request shares its steps with no other request."""


UNET_SAMPLERS = (
    "euler",
    "euler_a",
    "heun",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "unipc",
    "ddim",
    "lcm",
    "tcd",
)

_FLOW_SAMPLERS = ("flow_euler",)

_AUTO_PIPELINES = (
    "AuraFlowPipeline",
    "ChromaPipeline",
    "CogView3PlusPipeline",
    "CogView4Pipeline",
    "Flux2KleinPipeline",
    "Flux2Pipeline",
    "GlmImagePipeline",
    "HunyuanDiTPipeline",
    "IFPipeline",
    "Ideogram4Pipeline",
    "Kandinsky3Pipeline",
    "KandinskyCombinedPipeline",
    "KolorsPipeline",
    "Krea2Pipeline",
    "Lumina2Pipeline",
    "LuminaPipeline",
    "NucleusMoEImagePipeline",
    "OvisImagePipeline",
    "PRXPipeline",
    "PixArtAlphaPipeline",
    "PixArtSigmaPipeline",
    "QwenImage21Pipeline",
    "QwenImagePipeline",
    "SanaPipeline",
    "StableCascadeCombinedPipeline",
    "StableDiffusion3Pipeline",
    "WuerstchenCombinedPipeline",
)
"""Those of diffusers' AutoPipelineForText2Image that need no more than a prompt and are no family here; a test holds
them to it."""

FAMILIES: Mapping[str, Family] = {
    "stable-diffusion": Family(
        pipelines=(
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
            "LatentConsistencyModelPipeline",
        ),
        stages=("denoise",),
        operations=DRAWING,
        samplers=UNET_SAMPLERS,
        size_multiple=8,
        native_side=512,
        default_steps=25,
        default_guidance_scale=7.5,
        default_sampler="dpmpp_2m_karras",
    ),
    "stable-diffusion-xl": Family(
        pipelines=(
            "StableDiffusionXLPipeline",
            "StableDiffusionXLImg2ImgPipeline",
            "StableDiffusionXLInpaintPipeline",
        ),
        stages=("denoise",),
        operations=DRAWING,
        samplers=UNET_SAMPLERS,
        size_multiple=8,
        native_side=1024,
        default_steps=30,
        default_guidance_scale=5.0,
        default_sampler="euler",
    ),
    # What is assumed is [schnell]; [dev] says in its transformer's configuration that it reads the guidance scale.
    "flux": Family(
        pipelines=("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
        stages=("denoise",),
        operations=DRAWING,
        samplers=_FLOW_SAMPLERS,
        size_multiple=16,
        native_side=1024,
        default_steps=4,
        default_guidance_scale=0.0,
        default_sampler="flow_euler",
        guidance=Guidance.NONE,
    ),
    # What is assumed is Z-Image-Turbo; the undistilled model cannot be told from it but by its name.
    "z-image": Family(
        pipelines=("ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
        stages=("denoise",),
        operations=DRAWING,
        samplers=_FLOW_SAMPLERS,
        size_multiple=16,
        native_side=1024,
        default_steps=8,
        default_guidance_scale=0.0,
        default_sampler="flow_euler",
        guidance=Guidance.FROM_ZERO,
        mixes_sizes=True,
    ),
    # Samplers and guidance mean nothing to it.
    "clip": Family(
        pipelines=(),
        stages=("embed", "describe"),
        operations=(Operation.EMBED, Operation.DESCRIBE),
        samplers=("own",),
        size_multiple=1,
        native_side=224,
        default_steps=1,
        default_guidance_scale=1.0,
        default_sampler="own",
        guidance=Guidance.NONE,
        mixes_sizes=True,
    ),
    # How many tiles there are is known once a picture is opened; samplers and guidance mean nothing to it.
    "super-resolution": Family(
        pipelines=(),
        stages=("super-resolution",),
        operations=(Operation.UPSCALE,),
        samplers=("own",),
        size_multiple=1,
        native_side=512,
        default_steps=1,
        default_guidance_scale=0.0,
        default_sampler="own",
        guidance=Guidance.NONE,
        mixes_sizes=True,
    ),
    "stable-unclip": Family(
        pipelines=("StableUnCLIPPipeline", "StableUnCLIPImg2ImgPipeline"),
        stages=("prior", "denoise"),
        operations=(Operation.TEXT_TO_IMAGE, Operation.VARIATION),
        samplers=UNET_SAMPLERS,
        size_multiple=8,
        native_side=768,
        default_steps=20,
        default_guidance_scale=10.0,
        default_sampler="ddim",
    ),
    # What is assumed is Karlo, whose sizes are those that its networks were made for.
    "unclip": Family(
        pipelines=("UnCLIPPipeline", "UnCLIPImageVariationPipeline"),
        stages=("prior", "decoder", "super-resolution"),
        operations=(Operation.TEXT_TO_IMAGE, Operation.VARIATION),
        samplers=("unclip",),
        size_multiple=256,
        native_side=256,
        default_steps=25,
        default_guidance_scale=8.0,
        default_sampler="unclip",
    ),
    "kandinsky": Family(
        pipelines=(
            "KandinskyV22CombinedPipeline",
            "KandinskyV22Img2ImgCombinedPipeline",
            "KandinskyV22InpaintCombinedPipeline",
        ),
        stages=("prior", "decoder"),
        operations=(*DRAWING, Operation.VARIATION),
        samplers=("ddpm", *(sampler for sampler in UNET_SAMPLERS if sampler not in ("lcm", "tcd"))),
        size_multiple=64,
        native_side=512,
        default_steps=50,
        default_guidance_scale=4.0,
        default_sampler="ddpm",
    ),
    "auto-pipeline": Family(
        pipelines=_AUTO_PIPELINES,
        stages=("denoise",),
        operations=(Operation.TEXT_TO_IMAGE,),
        samplers=("own",),
        size_multiple=16,
        native_side=1024,
        default_steps=28,
        default_guidance_scale=4.5,
        default_sampler="own",
        alone=True,
    ),
}
"""One row per family; the worker's registry has the same keys, and a test holds them equal."""

KNOWN_MODELS: Mapping[str, tuple[str, str]] = {
    "black-forest-labs/FLUX.1-schnell": ("flux", "Apache-2.0"),
    "black-forest-labs/FLUX.1-dev": ("flux", "FLUX.1 [dev] Non-Commercial License"),
    "Tongyi-MAI/Z-Image": ("z-image", "Apache-2.0"),
    "Tongyi-MAI/Z-Image-Turbo": ("z-image", "Apache-2.0"),
}
"""Hub id → family and licence, known before anything is downloaded."""

SAMPLER_MAX_STEPS: Mapping[str, int] = {"lcm": 50, "tcd": 50}
"""Consistency-distilled models pick their steps out of the 50 they were distilled from."""
