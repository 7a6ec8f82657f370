"""A job: what a user asked for. It is persisted, its id stands in buttons and messages, and it outlives restarts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from engine import Safety, SamplingParams


class Action(StrEnum):
    """What a job does; UPSCALE, VARY and REROLL have a parent."""

    IMAGINE = "imagine"
    UPSCALE = "upscale"
    """One stored cell of the parent, posted alone; no GPU work."""
    VARY = "vary"
    """A new grid of image-to-image variations of one cell of the parent."""
    REROLL = "reroll"
    """The parent's prompt and parameters with a new seed."""
    DESCRIBE = "describe"
    """Prompts for an uploaded picture; the picture is posted with them."""
    BLEND = "blend"
    """Pictures after the image embeddings of uploaded ones; after that of one alone, its variations."""


class JobState(StrEnum):
    """Waiting → running → posting → done; failed and cancelled end it from any state before posting."""

    WAITING = "waiting"
    RUNNING = "running"
    POSTING = "posting"
    """The pictures are stored and the row carries the nonce; the message may or may not be on Discord yet."""
    DONE = "done"
    """Posted, or (without a result message) waiting in /history because it could not be posted."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What the `--flags` of a prompt said; None means not given."""

    aspect: tuple[int, int] | None = None
    seed: int | None = None
    no: tuple[str, ...] = ()
    n: int | None = None
    version: str | None = None
    """A short name of a model."""
    draft: bool | None = None
    """Few steps; False: they were asked for and the model has no variant that needs few."""
    best: bool | None = None
    """Pictures in the order of how well they fit the prompt; False: it was asked for and nothing here compares them."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that came with a command, as Discord describes it."""

    url: str
    name: str
    size: int
    """Bytes."""
    content_type: str | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of JobService.create: an action and what it needs."""

    action: Action
    source: str
    """The idempotency key: interaction id + ordinal. The same source never makes a second job."""
    prompt: str | None = None
    """IMAGINE: the text as typed, flags included. VARY: a prompt in place of the parent's (remix)."""
    parent_id: UUID | None = None
    index: int | None = None
    """UPSCALE and VARY: the parent's picture, 0–3."""
    text_difference: bool = False
    """VARY with a prompt: move the picture along the difference between the parent's words and these."""
    uploads: tuple[Upload, ...] = ()
    """DESCRIBE: one; BLEND: one or more."""
    aspect: tuple[int, int] | None = None
    """BLEND only."""
    strip: bool = False
    """BLEND of two: a row of pictures from the one to the other."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The message that shows a job's progress, and the token that may still edit it."""

    channel_id: int
    message_id: int | None = None
    token: str | None = field(default=None, repr=False)
    """The interaction's token: a secret until it expires; dropped when dead."""
    expires_at: datetime | None = None
    """UTC."""


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One finished picture on disk (PNG, native size, with its metadata inside)."""

    index: int
    seed: int
    width: int
    height: int
    sha256: str
    safety: Safety
    path: Path


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Which of a job's pictures look alike, among themselves or like an earlier one of the same user."""

    cells: tuple[int, ...] = ()
    """Indices of pictures that look like another of the same job."""
    earlier_job: str | None = None
    """The id of the job with the earlier picture, as hex; it may have been deleted since."""
    earlier_index: int = 0
    index: int = 0
    """The picture of this job that looks like it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the database holds it; times are UTC."""

    id: UUID
    action: Action
    state: JobState
    owner_id: int
    owner_name: str
    guild_id: int | None
    source: str
    prompt: str
    """The text without its flags."""
    parameters: Parameters
    model: str
    sampling: SamplingParams
    """Concrete: chosen once when the job was made, so that a restart, Retry and Info see the same values."""
    seeds: tuple[int, ...]
    destination: Destination
    created_at: datetime
    locale: str = "en"
    """The language of the owner's Discord when the job was asked for; its messages are written in it."""
    parent_id: UUID | None = None
    parent_index: int | None = None
    uploads: tuple[str, ...] = ()
    """Where what was uploaded can be fetched until the job has its own copies; addresses of Discord's that expire."""
    reference_count: int = 0
    """How many pictures it describes or draws after the embeddings of; the job has its own copies."""
    strip: bool = False
    """The pictures are a path from one reference to the other, shown as a row."""
    moved_from: str | None = None
    """Remix: the embedding is moved along the difference from this text to the prompt."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    device_seconds: float = 0.0
    error_code: str | None = None
    error_values: dict[str, str] | None = None
    unread_words: tuple[str, ...] = ()
    unknown_words: tuple[str, ...] = ()
    result_channel_id: int | None = None
    result_message_id: int | None = None
    likeness: Likeness | None = None
    """None: nothing looks alike, or it is not known yet."""
    images: tuple[StoredImage, ...] = ()
    texts: tuple[str, ...] = ()
    """DESCRIBE: the prompts that were found."""


def nonce_of(job_id: UUID) -> str:
    """What the post of a result carries so that Discord refuses a second one: 22 characters of base64url."""
    return base64.urlsafe_b64encode(job_id.bytes).rstrip(b"=").decode("ascii")
