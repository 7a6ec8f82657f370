"""Newest wins, and nobody waits."""

from __future__ import annotations

import asyncio
from uuid import UUID

from bot.domain import JobState, JobUpdate
from bot.services.update_feed import UpdateFeed

ONE, TWO = UUID(int=1), UUID(int=2)


def running(job_id: UUID, fraction: float, preview: bytes | None = None) -> JobUpdate:
    return JobUpdate(job_id=job_id, state=JobState.RUNNING, fraction=fraction, preview=preview)


async def test_a_slow_reader_gets_the_newest_of_each_job() -> None:
    feed = UpdateFeed()
    feed.put(running(ONE, 0.1))
    feed.put(running(TWO, 0.2))
    feed.put(running(ONE, 0.3))
    feed.close()
    assert [update async for update in feed.read()] == [running(ONE, 0.3), running(TWO, 0.2)]


async def test_an_unread_preview_is_kept_until_a_newer_one_or_the_end() -> None:
    feed = UpdateFeed()
    feed.put(running(ONE, 0.1, b"old"))
    feed.put(running(ONE, 0.2))
    feed.put(running(TWO, 0.1, b"old"))
    feed.put(JobUpdate(job_id=TWO, state=JobState.CANCELLED))
    feed.close()
    assert [update async for update in feed.read()] == [
        running(ONE, 0.2, b"old"),
        JobUpdate(job_id=TWO, state=JobState.CANCELLED),
    ]


async def test_a_reader_waits_until_there_is_something_or_the_end() -> None:
    feed = UpdateFeed()
    reader = asyncio.create_task(anext(feed.read()))
    await asyncio.sleep(0)
    feed.put(running(ONE, 0.1))
    assert await reader == running(ONE, 0.1)
    rest = asyncio.create_task(anext(feed.read(), None))
    await asyncio.sleep(0)
    feed.close()
    assert await rest is None
