"""Rows in, domain objects out, and no row that makes no sense."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from bot.database import Database, FactRepository, JobRepository, open_database
from bot.domain import Action, Destination, Job, JobState, Parameters, StoredImage
from engine import Safety
from tests.bot.examples import JOB


def picture_path(job_id: UUID, index: int) -> Path:
    return Path(f"{job_id}/{index}.png")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "fourfold.db", picture_path) as database:
        yield database


@pytest.fixture
def jobs(database: Database) -> JobRepository:
    return JobRepository(database)


def new_job(number: int = 0, **changes: object) -> Job:
    created = JOB.created_at + timedelta(seconds=number)
    return replace(JOB, id=uuid4(), source=f"{number}:{uuid4().hex}", created_at=created, **changes)  # type: ignore[arg-type]  # any field of Job


def pictures(job: Job, count: int = 4) -> tuple[StoredImage, ...]:
    return tuple(
        StoredImage(
            index=index,
            seed=job.seeds[index],
            width=64,
            height=64,
            sha256="0" * 64,
            safety=Safety.UNCHECKED,
            path=picture_path(job.id, index),
        )
        for index in range(count)
    )


async def test_a_job_comes_back_as_it_went_in(jobs: JobRepository) -> None:
    job = new_job(
        prompt="a “cat” 🐈\n--",
        parameters=Parameters(aspect=(3, 2), seed=2**32 - 1, no=("dogs", "red hats"), n=2),
        guild_id=None,
        owner_id=2**63 - 1,
        destination=Destination(
            channel_id=5, message_id=6, token="t", expires_at=datetime(2026, 1, 1, tzinfo=UTC)
        ),
        unread_words=("far", "away"),
        locale="zh-TW",
    )
    assert await jobs.add(job) == job
    assert await jobs.get(job.id) == job
    assert await jobs.get(uuid4()) is None
    assert await jobs.of_source(job.source) == job


async def test_a_field_of_another_version_is_passed_over(jobs: JobRepository, tmp_path: Path) -> None:
    job = await jobs.add(new_job())
    with closing(sqlite3.connect(tmp_path / "fourfold.db")) as other:
        other.execute("""UPDATE jobs SET parameters = '{"seed": 5, "stylize": 100}'""")
        other.commit()
    stored = await jobs.get(job.id)
    assert stored is not None
    assert stored.parameters == Parameters(seed=5)


async def test_a_source_makes_one_job_even_in_a_race(jobs: JobRepository) -> None:
    attempts = [replace(new_job(), source="same") for _ in range(8)]
    stored = await asyncio.gather(*(jobs.add(job) for job in attempts))
    assert len({job.id for job in stored}) == 1
    assert len(await jobs.ids()) == 1


async def test_an_owner_has_the_newest_name(jobs: JobRepository) -> None:
    first, second = new_job(1), new_job(2, owner_name="Ada L.")
    await jobs.add(first)
    await jobs.add(second)
    stored = await jobs.get(first.id)
    assert stored is not None
    assert stored.owner_name == "Ada L."


async def test_a_move_happens_only_from_the_states_it_names(jobs: JobRepository) -> None:
    job = await jobs.add(new_job())
    assert await jobs.move(job.id, [JobState.WAITING], JobState.RUNNING, started_at=JOB.created_at)
    assert not await jobs.move(job.id, [JobState.WAITING], JobState.CANCELLED)
    stored = await jobs.get(job.id)
    assert stored == replace(job, state=JobState.RUNNING, started_at=JOB.created_at)


async def test_pictures_and_posting_come_in_one_step(jobs: JobRepository) -> None:
    job = await jobs.add(new_job())
    assert await jobs.finish(job.id, [JobState.WAITING], pictures(job), device_seconds=1.5)
    assert not await jobs.finish(job.id, [JobState.WAITING], pictures(job))
    stored = await jobs.get(job.id)
    assert stored is not None
    assert stored.images == pictures(job)
    assert (stored.state, stored.device_seconds) == (JobState.POSTING, 1.5)


async def test_history_is_newest_first_and_pages_do_not_overlap(jobs: JobRepository) -> None:
    done = []
    for number in range(5):
        # Two of them share their time, so that the id has to decide.
        job = await jobs.add(new_job(min(number, 3)))
        await jobs.finish(job.id, [JobState.WAITING], pictures(job), finished_at=JOB.created_at)
        await jobs.move(job.id, [JobState.POSTING], JobState.DONE)
        done.append(job)
    await jobs.add(new_job(9))
    first = await jobs.history(42, before=None, limit=2)
    second = await jobs.history(42, before=first[-1].id, limit=2)
    third = await jobs.history(42, before=second[-1].id, limit=2)
    listed = [job.id for job in (*first, *second, *third)]
    expected = sorted(done, key=lambda job: (job.created_at, job.id.hex), reverse=True)
    assert listed == [job.id for job in expected]
    assert await jobs.history(7, before=None, limit=2) == ()


async def test_a_deleted_parent_leaves_its_children(jobs: JobRepository) -> None:
    parent = await jobs.add(new_job(1))
    await jobs.finish(parent.id, [JobState.WAITING], pictures(parent))
    child = await jobs.add(new_job(2, action=Action.VARY, parent_id=parent.id, parent_index=2))
    assert await jobs.delete(parent.id, [JobState.POSTING])
    assert not await jobs.delete(parent.id, [JobState.POSTING])
    stored = await jobs.get(child.id)
    assert stored is not None
    assert (stored.parent_id, stored.parent_index) == (None, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": ""},
        {"prompt": "a" * 4001},
        {"seeds": ()},
        {"action": Action.VARY},
        {"state": JobState.FAILED},
        {"state": JobState.DONE},
        {"parent_index": 1},
        {"destination": Destination(channel_id=1, token="t")},
        {"result_channel_id": 1},
        {"device_seconds": -1.0},
    ],
)
async def test_rows_that_make_no_sense_are_refused(jobs: JobRepository, changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        await jobs.add(new_job(**changes))
    assert await jobs.ids() == frozenset()


async def test_a_job_whose_parent_is_gone_is_not_stored(jobs: JobRepository) -> None:
    child = new_job(action=Action.VARY, parent_id=uuid4(), parent_index=1)
    assert await jobs.add(child) is None
    assert await jobs.ids() == frozenset()


async def test_only_a_job_made_from_another_has_a_parent(jobs: JobRepository) -> None:
    parent = await jobs.add(new_job())
    with pytest.raises(IntegrityError):
        await jobs.add(new_job(parent_id=parent.id))


async def test_an_error_does_not_repeat_the_token(jobs: JobRepository) -> None:
    secret = Destination(channel_id=1, token="very-secret", expires_at=JOB.created_at)
    with pytest.raises(IntegrityError) as refusal:
        await jobs.add(new_job(prompt="", destination=secret))
    assert "very-secret" not in str(refusal.value)


async def test_tokens_are_forgotten_when_dead(jobs: JobRepository) -> None:
    now = JOB.created_at
    alive = Destination(channel_id=1, token="t", expires_at=now + timedelta(seconds=1))
    dead = Destination(channel_id=1, token="u", expires_at=now)
    first, second = await jobs.add(new_job(destination=alive)), await jobs.add(new_job(destination=dead))
    assert await jobs.set_destination(second.id, alive, now)
    third = await jobs.add(new_job(destination=dead))
    assert await jobs.set_destination(second.id, alive, now)
    stored = await jobs.get(third.id)
    assert stored is not None
    assert stored.destination.token is None
    await jobs.drop_expired_tokens(now)
    await jobs.drop_token(first.id)
    tokens = {job.id: job.destination.token for job in await jobs.in_states([JobState.WAITING], owner_id=42)}
    assert tokens == {first.id: None, second.id: "t", third.id: None}


async def test_facts_are_kept_by_key(database: Database) -> None:
    facts = FactRepository(database)
    assert await facts.get("commands") is None
    await facts.set("commands", "one")
    await facts.set("commands", "two")
    assert await facts.get("commands") == "two"
