"""Every unfinished job of this process: who may have one more, whose turn it is, and honest places.

Plain bookkeeping without I/O. A user has at most `max_running_per_user` jobs at the engine; further ones wait here, in the
order in which they were asked for, and go to the engine as those end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from bot.domain import Job
from bot.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many unfinished jobs may be held at once."""

    max_running_per_user: int = 3
    max_waiting_per_user: int = 10
    """Jobs of one user that have not begun, whether they are held here or queue in the engine."""
    max_waiting: int = 200
    """Of all users together."""


@dataclass
class _Place:
    """One unfinished job. `ready` is set once it is shown, `sent` when it goes to the engine, `fraction` as it runs."""

    job: Job
    ready: bool = False
    sent: bool = False
    fraction: float | None = None
    """None until its first step."""
    told: tuple[int, float | None] | None = None
    """The place and time that were reported last."""

    def was_told(self, place: int, eta: float | None) -> bool:
        """Whether this would be no news: the same place, and about the same time."""
        if self.told is None or self.told[0] != place or (self.told[1] is None) != (eta is None):
            return False
        return eta is None or abs(eta - (self.told[1] or 0.0)) <= max(1.0, 0.2 * eta)

    @property
    def work(self) -> float:
        """Row-steps that are left; guidance doubles the rows, and a variation runs a part of its schedule."""
        sampling = self.job.sampling
        rows = len(self.job.seeds) * (2 if sampling.guidance_scale > 1 else 1)
        return rows * sampling.num_inference_steps * sampling.strength * (1 - (self.fraction or 0.0))


class WaitingLine:
    """Jobs stand in it from the moment they are accepted until they end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: dict[UUID, _Place] = {}

    def admit(self, job: Job, seconds_per_row_step: float | None) -> None:
        """Let a new job in, or refuse it. Nothing is awaited between the check and the entry, so no race passes it.

        Raises:
            UserError: `queue_full_yours` or `queue_full`, with what there is, what is allowed, and when to come back.
        """
        most = self._limits.max_waiting_per_user
        own = [place for place in self._places.values() if place.job.owner_id == job.owner_id]
        waiting = sum(place.fraction is None for place in own)
        # Whoever has a place among the running ones free does not wait, even where nobody may.
        if waiting >= most and len(own) >= self._limits.max_running_per_user:
            eta = self._next_end(own, seconds_per_row_step)
            raise UserError("queue_full_yours", got=waiting, maximum=most, eta=eta)
        if len(self._places) >= self._limits.max_waiting:
            eta = self._next_end(list(self._places.values()), seconds_per_row_step)
            raise UserError("queue_full", got=len(self._places), maximum=self._limits.max_waiting, eta=eta)
        self.enter(job)

    def enter(self, job: Job) -> None:
        """Let a job in whatever the limits say: it was accepted before a restart."""
        self._places[job.id] = _Place(job)

    def leave(self, job_id: UUID) -> None:
        """The job has ended; one that is not here is fine."""
        self._places.pop(job_id, None)

    def ready(self, job: Job) -> None:
        """The job is shown and may be sent when its turn comes; a second call changes nothing."""
        if job.id in self._places:
            self._places[job.id].job = job
            self._places[job.id].ready = True

    def progress(self, job_id: UUID, fraction: float) -> None:
        """The job runs; `fraction` of it is done."""
        if job_id in self._places:
            self._places[job_id].fraction = fraction

    def counts(self) -> tuple[int, int]:
        """How many jobs have begun, and how many have not."""
        running = sum(place.fraction is not None for place in self._places.values())
        return running, len(self._places) - running

    def send(self, owner_id: int) -> Iterator[Job]:
        """The user's jobs that go to the engine now, oldest first."""
        own = [place for place in self._places.values() if place.job.owner_id == owner_id]
        free = self._limits.max_running_per_user - sum(place.sent for place in own)
        held = sorted((place for place in own if place.ready and not place.sent), key=_age)
        for place in held[: max(0, free)]:
            place.sent = True
            yield place.job

    def held(self, seconds_per_row_step: float | None) -> Iterator[tuple[UUID, int, float | None]]:
        """Each job held back whose outlook changed: its place (1 is next) and seconds until its pictures are expected.

        Everything that the engine has is ahead of it, and so are the user's own earlier ones.
        """
        sent = [place for place in self._places.values() if place.sent]
        waiting = sum(place.fraction is None for place in sent)
        ahead = sum(place.work for place in sent)
        held = [place for place in self._places.values() if place.ready and not place.sent]
        own_ahead: dict[int, tuple[int, float]] = {}
        for place in sorted(held, key=_age):
            count, work = own_ahead.get(place.job.owner_id, (0, 0.0))
            own_ahead[place.job.owner_id] = count + 1, work + place.work
            eta = None if seconds_per_row_step is None else (ahead + work + place.work) * seconds_per_row_step
            if not place.was_told(waiting + count + 1, eta):
                place.told = waiting + count + 1, eta
                yield place.job.id, *place.told

    def eta(self, job_id: UUID, seconds_per_row_step: float | None) -> float | None:
        """Seconds until a running job's pictures are expected: the running ones share the device evenly."""
        place = self._places.get(job_id)
        if place is None or seconds_per_row_step is None:
            return None
        running = (other.work for other in self._places.values() if other.fraction is not None)
        return sum(min(work, place.work) for work in running) * seconds_per_row_step

    def _next_end(self, places: list[_Place], seconds_per_row_step: float | None) -> float | None:
        """Seconds until the first of these jobs is expected to end."""
        if seconds_per_row_step is None:
            return None
        running = [place for place in places if place.fraction is not None]
        etas = [self.eta(place.job.id, seconds_per_row_step) for place in running]
        if etas:
            return min(eta for eta in etas if eta is not None)
        return sum(place.work for place in self._places.values() if place.sent) * seconds_per_row_step


def _age(place: _Place) -> tuple[float, str]:
    return place.job.created_at.timestamp(), place.job.id.hex
