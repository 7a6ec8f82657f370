"""What delivery is told about a job; the newest update of a job replaces older ones."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from bot.domain.job import JobState, StoredImage
from bot.errors import UserError


@dataclass(frozen=True, kw_only=True)
class JobUpdate:
    """One job's newest state."""

    job_id: UUID
    state: JobState
    place: int | None = None
    """WAITING: 1 is next."""
    eta: float | None = None
    """WAITING: seconds until the result is expected."""
    fraction: float | None = None
    """RUNNING: 0–1 of all steps; while the model loads, of its bytes."""
    loading: str | None = None
    """RUNNING or WAITING while the model is downloaded or loaded: its title with sizes, ready to be shown."""
    preview: bytes | None = None
    """A composed JPEG of the pictures so far, at most 512 px wide."""
    images: tuple[StoredImage, ...] = ()
    """POSTING: the finished pictures in order, as the row has them: delivery posts these without asking again."""
    texts: tuple[str, ...] = ()
    """POSTING: the prompts that were found."""
    unread_words: tuple[str, ...] = ()
    unknown_words: tuple[str, ...] = ()
    """POSTING: what the model could not make use of; said below the pictures."""
    error: UserError | None = None
    """FAILED: why."""
