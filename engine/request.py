"""What the engine is asked: one frozen type per kind of work, made of paths, bytes and numbers so that it
pickles.

Inputs are opened when their work starts, so ten thousand waiting requests hold no pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from engine.catalog import Operation

MAX_SEED = 2**32 - 1


class Lane(StrEnum):
    """Which queue a request waits in; fast passes relaxed."""

    FAST = "fast"
    RELAXED = "relaxed"


@dataclass(frozen=True, kw_only=True)
class Hires:
    """A picture is made at this size first, then enlarged and drawn over at the size that was asked for."""

    width: int
    height: int
    strength: float = 0.5
    """The share of the schedule that is run again on the enlarged picture, (0, 1]."""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How pictures are sampled, spelt as in diffusers. The caller has filled in the model's defaults."""

    num_inference_steps: int
    guidance_scale: float
    sampler: str
    width: int
    height: int
    negative_prompt: str = ""
    timestep_spacing: str = ""
    """Where the steps lie: "trailing" as the LoRAs and files of SDXL's few-step descendants need; "": the model's own way."""
    prior_num_inference_steps: int = 25
    """Of the prior, where the model has one."""
    prior_guidance_scale: float = 4.0
    """Likewise."""
    strength: float = 1.0
    """Image-to-image only: the share of the schedule that is run on the noised initial picture, (0, 1]."""
    clip_skip: int | None = None
    """How many of the text encoder's last layers the prompt leaves out, 1 or more; None: the model's own way."""
    guidance_rescale: float = 0.0
    """0 to 1: how far guided predictions are brought back to the unguided spread, against overexposure (Lin et al. 2023)."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """The share of the steps that are guided, from and to; the others take one row (Kynkäänniemi et al. 2024)."""
    stop: float = 1.0
    """The share of the steps that are run, (0, 1]; the picture is then what the last of them foresaw. Of two passes it is
    the second that stops."""
    tiling: bool = False
    """The picture's opposite edges fit together."""
    hires: Hires | None = None
    """Text-to-image only: two passes, so that large pictures keep the composition that the model draws at small sizes."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Pictures that are to be seen in what is made: their image embeddings take the place of the one that a prior would
    draw from the prompt (Ramesh et al. 2022, section 3).
    """

    pictures: tuple[tuple[Path, float], ...]
    """Pictures on disk, opened when the work starts, and the weight of each, above 0: where there are several, they meet on
    the sphere of embeddings, one after the other."""
    strip: bool = False
    """Two pictures alone: the first cell lies at the one, the last at the other, those between on the way."""
    moved_from: str | None = None
    """Text difference: the embedding is turned along the way from this text to the prompt; None: it stays."""
    turn: float = 0.35
    """The share of that way, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class BaseRequest:
    """What every request says."""

    request_id: str
    model: str
    share_key: str = ""
    """Opaque: whose fair share this counts on."""
    share_weight: float = 1.0
    """0.001 to 1000: a share of weight 2 gets twice the work done of one of weight 1."""
    lane: Lane = Lane.FAST
    submitted_at: float | None = None
    """Unix time in seconds; the engine fills in None. Callers that re-submit keep the old order by it."""


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(BaseRequest):
    """Ask for `len(seeds)` pictures of one prompt; picture i has its own generator, seeded with `seeds[i]`."""

    prompt: str
    params: SamplingParams
    seeds: tuple[int, ...]
    operation: Operation = Operation.TEXT_TO_IMAGE
    init_image: Path | None = None
    """Image-to-image and inpaint: a picture on disk, opened and resized to width × height when the work starts."""
    mask: Path | None = None
    """Inpaint: a picture on disk, white where the initial picture is drawn anew; resized to width × height likewise."""
    reference: Reference | None = None
    """Variation: what is to be seen, with or without a prompt."""
    adapters: tuple[tuple[Path, float], ...] = ()
    """LoRA files and the weight of each; they add up in this order. Opened when the work starts."""
    embeddings: tuple[tuple[str, Path], ...] = ()
    """Words that the prompts may use, in any case, and the textual inversion that each stands for; known to this request
    alone. Opened when the work starts."""
    vae: Path | None = None
    """An autoencoder in place of the model's own: a diffusers folder or a .safetensors file. Opened when the work starts.
    One that was made for other models is refused, except where nothing says so: a bare file of SDXL's looks like one of
    Stable Diffusion 1.x, and its pictures then have wrong colours. A folder, or a file whose header names its
    architecture, can be told."""

    @property
    def count(self) -> int:
        """How many pictures are asked for."""
        return len(self.seeds)

    @property
    def names_files(self) -> bool:
        """Whether files have to be read before the work can start."""
        return bool(
            self.adapters or self.embeddings or self.vae or self.init_image or self.mask or self.reference
        )


@dataclass(frozen=True, kw_only=True)
class UpscaleRequest(BaseRequest):
    """Ask for larger pictures, by a super-resolution model: one ImageReady for each."""

    images: tuple[Path, ...]
    """Pictures on disk, opened when the work starts."""
    scale: int = 4
    """2, 4, 8 or 16: the model runs once or twice, and what it makes too large is scaled down."""
    operation: ClassVar[Operation] = Operation.UPSCALE

    @property
    def count(self) -> int:
        return len(self.images)

    @property
    def names_files(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(BaseRequest):
    """Ask a contrastive text–image model for prompts that fit a picture: `count` of them, one TextReady for each."""

    image: Path
    """A picture on disk, opened when the work starts."""
    seeds: tuple[int, ...]
    """One per prompt: another seed finds another prompt, the same seed the same one."""
    operation: ClassVar[Operation] = Operation.DESCRIBE

    @property
    def count(self) -> int:
        return len(self.seeds)

    @property
    def names_files(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class EmbedRequest(BaseRequest):
    """Ask a contrastive text–image model where pictures, then texts, lie: one EmbeddingReady for each, in this order."""

    images: tuple[Path, ...] = ()
    """Pictures on disk, opened when the work starts."""
    texts: tuple[str, ...] = ()
    operation: ClassVar[Operation] = Operation.EMBED

    @property
    def count(self) -> int:
        return len(self.images) + len(self.texts)

    @property
    def names_files(self) -> bool:
        return bool(self.images)


Request = GenerateRequest | UpscaleRequest | DescribeRequest | EmbedRequest


def same_case(text: str) -> str:
    """Equal for the words of embeddings, in whatever case, that are one word; as long as the text, so that places in it stay."""
    # Some turn into several letters, and stay what they are.
    cases = ((char.casefold(), char.lower(), char) for char in text)
    return "".join(next(one for one in each if len(one) == 1) for each in cases)
