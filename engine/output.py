"""What the engine answers: updates while a request runs, and exactly one RequestOutput when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


from engine.errors import GenerationFailed


class Safety(StrEnum):
    """What the checkpoint's own safety checker said of a picture."""

    UNCHECKED = "unchecked"
    SAFE = "safe"
    FLAGGED = "flagged"
    """The pixels are black; the picture itself never leaves the device plane."""


@dataclass(frozen=True)
class Queued:
    """Waiting: `position` 1 is next; `eta` in seconds until the pictures are ready, None while unknown."""

    position: int
    eta: float | None


@dataclass(frozen=True)
class Loading:
    """The model is being downloaded or loaded; sizes in bytes, 0 while unknown; `fraction` in 0–1."""

    model: str
    fraction: float
    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Progress:
    """`step` of `steps` denoising steps are done over all pictures of the request."""

    step: int
    steps: int
    previews: tuple[npt.NDArray[np.uint8] | None, ...] = ()
    """One uint8 RGB (h, w, 3) thumbnail or None per picture; empty when this update carries no previews."""


@dataclass(frozen=True)
class ImageReady:
    """Picture `index` is finished: uint8 RGB (H, W, 3)."""

    index: int
    pixels: npt.NDArray[np.uint8]
    safety: Safety


@dataclass(frozen=True)
class TextReady:
    """Prompt `index` is found."""

    index: int
    text: str


@dataclass(frozen=True)
class EmbeddingReady:
    """Where picture or text `index` lies: float32 (width,) of length 1, to be compared by their dot products."""

    index: int
    vector: npt.NDArray[np.float32]


Result = ImageReady | TextReady | EmbeddingReady
Update = Queued | Loading | Progress | Result


class FinishReason(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class RequestOutput:
    """The last item of every OutputStream."""

    request_id: str
    finish_reason: FinishReason
    error: GenerationFailed | None = None
    """Set exactly when finish_reason is FAILED."""
    device_seconds: float = 0.0
    """This request's share of the time the device worked."""
    unread_words: tuple[str, ...] = ()
    """Words past the text encoder's window, which it never saw: of the prompt, then of the negative prompt."""
    unknown_words: tuple[str, ...] = ()
    """Words outside the model's declared vocabulary (embedded models only)."""
    rounded_to: tuple[int, int] | None = None
    """Width and height of the pictures where the model does not draw those that were asked for; None: as asked."""
    hires_rounded_to: tuple[int, int] | None = None
    """The same of the first of two passes."""


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """A snapshot for status lines and ETA; times in seconds."""

    waiting: int
    running: int
    seconds_per_row_step: float | None
    resident_models: tuple[str, ...] = ()
    loading: Loading | None = None
    device: str = ""
    extra: dict[str, float] = field(default_factory=dict)
