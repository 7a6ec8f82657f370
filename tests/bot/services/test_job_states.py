"""Whatever happens in whatever order, with kills in between: the database, the engine and the caps agree with a model."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from bot.domain import Action, Asker, Destination, Job, JobState, Order
from bot.errors import UserError
from bot.services import Limits
from engine import GenerationFailed
from tests.bot.services.bench import ADA, BOB, Bench

LIMITS = Limits(max_running_per_user=2, max_waiting_per_user=1, max_waiting=5)
UNFINISHED = (JobState.WAITING, JobState.RUNNING)
askers = st.sampled_from([ADA, BOB])


@dataclass
class Expected:
    """What the model knows of a job."""

    job: Job
    number: int
    state: JobState = JobState.WAITING
    shown: bool = False
    sent: bool = False

    @property
    def in_line(self) -> bool:
        return self.state in UNFINISHED and self.job.action is not Action.UPSCALE


class JobStates(RuleBasedStateMachine):
    """Rules are what users, the engine, Discord and the power supply do."""

    jobs: Bundle[UUID] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.expected: dict[UUID, Expected] = {}
        self.stack = AsyncExitStack()
        self.run(self.start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    def ask(self, coroutine: Coroutine[Any, Any, Job]) -> tuple[Job | None, str | None]:
        """What a service answers: a job, or the code of its refusal."""
        try:
            return self.run(coroutine), None
        except UserError as error:
            return None, error.code

    async def start(self) -> None:
        bench = Bench(Path(self.folder.name), LIMITS)
        if self.expected:
            bench.go_on_from(self.bench)
        self.bench = await self.stack.enter_async_context(bench.process())

    @rule(target=jobs, asker=askers, pictures=st.integers(1, 2))
    def imagine(self, asker: Asker, pictures: int) -> Any:
        return self.create(asker, Action.IMAGINE, prompt=f"a cat --n {pictures}")

    @rule(target=jobs, parent=jobs, asker=askers, action=st.sampled_from([Action.VARY, Action.REROLL]))
    def click(self, parent: UUID, asker: Asker, action: Action) -> Any:
        if self.state_of(parent) not in (JobState.POSTING, JobState.DONE):
            return multiple()
        return self.create(asker, action, parent_id=parent, index=0 if action is Action.VARY else None)

    def create(self, asker: Asker, action: Action, **order: Any) -> Any:
        own = [one for one in self.expected.values() if one.in_line and one.job.owner_id == asker.user_id]
        everybody = [one for one in self.expected.values() if one.in_line]
        order_ = Order(action=action, source=self.bench.source(), **order)
        job, refusal = self.ask(self.bench.jobs.create(asker, order_))
        assert refusal == (
            "queue_full_yours"
            if len(own) >= 2 and any(one.state is JobState.WAITING for one in own)
            else "queue_full"
            if len(everybody) >= 5
            else None
        )
        if job is None:
            return multiple()
        self.expected[job.id] = Expected(job, len(self.expected))
        return job.id

    @rule(job_id=jobs)
    def show(self, job_id: UUID) -> None:
        self.run(self.bench.jobs.shown(job_id, Destination(channel_id=100, message_id=1)))
        if self.state_of(job_id) in UNFINISHED:
            self.expected[job_id].shown = True

    @rule(job_id=jobs)
    def step(self, job_id: UUID) -> None:
        if self.at_engine(job_id):
            self.bench.engine.progress(job_id.hex, 1, 4, previews=True)
            self.run(self.bench.reaches(self.expected[job_id].job, JobState.RUNNING))
            self.expected[job_id].state = JobState.RUNNING

    @rule(job_id=jobs)
    def finish(self, job_id: UUID) -> None:
        if self.at_engine(job_id):
            self.bench.engine.run(job_id.hex)
            self.run(self.bench.reaches(self.expected[job_id].job, JobState.POSTING))
            self.expected[job_id].state = JobState.POSTING

    @rule(job_id=jobs)
    def fail(self, job_id: UUID) -> None:
        if self.at_engine(job_id):
            self.bench.engine.make_picture(job_id.hex, 0)
            self.bench.engine.fail(job_id.hex, GenerationFailed("out_of_memory", "Full."))
            self.run(self.bench.reaches(self.expected[job_id].job, JobState.FAILED))
            self.expected[job_id].state = JobState.FAILED

    @rule(job_id=jobs)
    def cancel(self, job_id: UUID) -> None:
        expected = self.expected.get(job_id)
        _, refusal = self.ask(self.bench.jobs.cancel(asker_of(expected), job_id))
        if expected is None:
            assert refusal == "job_gone"
        elif expected.state in UNFINISHED:
            assert refusal is None
            expected.state = JobState.CANCELLED
        else:
            assert refusal == "too_late"

    @rule(job_id=jobs)
    def delete(self, job_id: UUID) -> None:
        expected = self.expected.get(job_id)
        _, refusal = self.ask(self.bench.jobs.delete(asker_of(expected), job_id))
        if expected is None:
            assert refusal == "job_gone"
        elif expected.state is JobState.POSTING:
            assert refusal == "posting_now"
        else:
            assert refusal is None
            del self.expected[job_id]

    @rule(job_id=jobs)
    def post(self, job_id: UUID) -> None:
        self.run(self.bench.jobs.posted(job_id, channel_id=1, message_id=2))
        if self.state_of(job_id) is JobState.POSTING:
            self.expected[job_id].state = JobState.DONE

    @rule()
    def kill(self) -> None:
        unfinished = [one for one in self.expected.values() if one.state in UNFINISHED]
        self.run(self.stack.aclose())
        self.run(self.start())
        assert self.bench.resumed == len(unfinished)
        for one in unfinished:
            # What was accepted is delivered, even if nobody could be told before the process died.
            one.state, one.shown, one.sent = JobState.WAITING, True, False

    @invariant()
    def the_engine_has_what_it_should(self) -> None:
        for user_id in (ADA.user_id, BOB.user_id):
            own = [one for one in self.expected.values() if one.in_line and one.job.owner_id == user_id]
            free = LIMITS.max_running_per_user - sum(one.sent for one in own)
            held = sorted((one for one in own if one.shown and not one.sent), key=lambda one: one.number)
            for one in held[:free]:
                one.sent = True
        wanted = {one.job.id.hex for one in self.expected.values() if one.in_line and one.sent}
        self.run(self.bench.until(lambda: set(self.bench.engine.streams) == wanted))

    @invariant()
    def the_database_says_the_same(self) -> None:
        stored = self.run(self.bench.repository.in_states(list(JobState)))
        assert {job.id: job.state for job in stored} == {
            job_id: expected.state for job_id, expected in self.expected.items()
        }
        for job in stored:
            made = job.state in (JobState.POSTING, JobState.DONE)
            assert len(job.images) == (len(job.seeds) if made else 0)
            assert all(image.path.is_file() for image in job.images)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def state_of(self, job_id: UUID) -> JobState | None:
        return self.expected[job_id].state if job_id in self.expected else None

    def at_engine(self, job_id: UUID) -> bool:
        return job_id.hex in self.bench.engine.streams


def asker_of(expected: Expected | None) -> Asker:
    return BOB if expected and expected.job.owner_id == BOB.user_id else ADA


TestJobStates = JobStates.TestCase
TestJobStates.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
