"""What the engine is built with. Built once by the composition root; frozen ever after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EMBEDDED_MODEL = "fourfold-mini"
"""The name of the model that ships inside the package (`engine/embedded/fourfold-mini`)."""
EMBEDDED_UPSCALER = "upscaler"
"""The same of the one that enlarges pictures."""
EMBEDDED_CLIP = "clip"
"""The same of the one that knows how alike pictures and texts are."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where models come from, where they run, and how many rows one step may hold."""

    models: tuple[str, ...] = (EMBEDDED_MODEL,)
    """The embedded name, a hub id (`owner/name`), a diffusers folder or a .safetensors file; the default first."""
    upscaler: str = EMBEDDED_UPSCALER
    """What enlarges pictures: the embedded name, a folder of the same format, or a super-resolution network in one
    .safetensors file, which spandrel reads.
    """
    clip: str = EMBEDDED_CLIP
    """What describes and compares pictures: the embedded name, a hub id, or a folder of transformers' CLIPModel."""
    model_config_dir: Path | None = None
    """A diffusers folder that lends single files its configuration and tokenizer (FOURFOLD_MODEL_CONFIG)."""
    device: str = "auto"
    """`auto` (CUDA, then Apple's MPS, then the CPU) or a torch device such as `cuda:1`."""
    dtype: str = "auto"
    """`auto` (bfloat16 where a CUDA device or a CPU has it natively, else float16 on CUDA and float32 elsewhere),
    `float32`, `float16`, `bfloat16` or `float64`.
    """
    channels_last: bool = True
    """Lay the autoencoder's weights out channel by channel last, which convolutions read faster."""
    compile: bool = False
    """Compile denoisers with torch.compile, in the background; until then, and where it fails, they run as they are."""
    row_buckets: bool = True
    """Fill steps up to a few widths on a CPU, which builds its convolutions anew for every other one."""
    exact: bool = False
    """Real float32, and every picture predicted and decoded in a forward pass of its own rows: the same request gives
    the same bytes alone and in company, and costs what sharing would have saved.
    """
    row_budget: int | None = None
    """Most UNet rows in one step; None lets steps be timed, and widened as long as that pays."""
    memory_budget: int | None = None
    """Most bytes that weights may take, those of all loaded models and of the files that requests name; what was not used for
    the longest time makes room for what is asked for. None is 85 % of a graphics card's memory, or 60 % of the machine's
    where the device shares it.
    """
    offload: str = "auto"
    """`always`, `never`, or `auto`: where a model does not fit otherwise, its weights stay in the machine's memory and come
    to the graphics card block by block. Without effect on devices that share the machine's memory.
    """
    cache_dir: Path | None = None
    """Where hub downloads are kept; None is huggingface_hub's own cache."""
    offline: bool = False
    """Never contact the hub; a model that is not on disk is refused with a sentence."""
    preview_interval: float = 3.0
    """Seconds between two previews of one request; a preview costs up to a decode, and messages are edited no oftener."""
