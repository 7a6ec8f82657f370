"""What a user has made, page by page."""

from __future__ import annotations

from uuid import uuid4

from bot.domain import JobState
from bot.errors import UserError
from tests.bot.services.bench import ADA, BOB, Bench


async def test_what_cannot_be_posted_waits_in_history(bench: Bench) -> None:
    job = await bench.order()
    await bench.sent(job)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)
    await bench.jobs.not_postable(job.id, UserError("post_refused"))
    stored = await bench.jobs.get(job.id)
    assert (stored.state, stored.result_message_id, stored.error_code) == (
        JobState.DONE,
        None,
        "post_refused",
    )
    page = await bench.history.page(ADA.user_id)
    assert page.jobs == (stored,)
    await bench.jobs.reposted(job.id, channel_id=5, message_id=6)
    assert (await bench.jobs.get(job.id)).result_message_id == 6


async def test_history_pages_and_thumbnails(bench: Bench) -> None:
    jobs = [await bench.made(prompt=f"cat {number} --n 1") for number in range(3)]
    first = await bench.history.page(ADA.user_id, limit=2)
    assert ([job.id for job in first.jobs], first.more) == ([jobs[2].id, jobs[1].id], True)
    second = await bench.history.page(ADA.user_id, before=first.jobs[-1].id, limit=2)
    assert ([job.id for job in second.jobs], second.more) == ([jobs[0].id], False)
    assert (await bench.history.thumbnails(first.jobs)).startswith(b"\xff\xd8")
    assert (await bench.history.page(BOB.user_id)).jobs == ()
    assert (await bench.history.page(ADA.user_id, before=uuid4())).jobs == ()
