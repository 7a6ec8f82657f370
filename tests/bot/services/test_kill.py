"""A kill -9 at any moment loses nothing and makes nothing twice.

The data folder is copied whenever it has changed, which is what a kill would have left at that moment; each copy is then
started from.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from bot.domain import Action, Job, JobState
from bot.errors import UserError
from tests.bot.services.bench import ADA, BOB, Bench


class Snapshots:
    """Copies of a folder, one per change that could be seen between two turns of the event loop."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder, self._target = folder, target
        self.taken: list[Path] = []
        self._last: object = None

    async def watch(self) -> None:
        while True:
            self.take()
            await asyncio.sleep(0)

    def take(self) -> None:
        files = sorted(
            path for path in self._folder.rglob("*") if path.is_file() and path.suffix != ".db-shm"
        )
        seen = []
        for path in files:
            with suppress(FileNotFoundError):
                seen.append((path, path.stat().st_size, path.stat().st_mtime_ns))
        if seen == self._last:
            return
        self._last = seen
        copy = self._target / f"{len(self.taken):03d}"
        # The write-ahead log last: it only grows here, and SQLite ignores what of it is not whole.
        for path in sorted(files, key=lambda path: path.name.endswith("-wal")):
            to = copy / path.relative_to(self._folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, to)
            except FileNotFoundError:
                to.unlink(missing_ok=True)
        if (copy / "fourfold.db").exists():
            self.taken.append(copy)


async def deliver(bench: Bench) -> dict[str, int]:
    """Run everything to its end and post it; how often each source was posted."""
    posted: dict[str, int] = {}
    for _ in range(4):
        for job in await bench.jobs.posting_jobs():
            posted[job.source] = posted.get(job.source, 0) + 1
            await bench.jobs.posted(job.id, channel_id=100, message_id=1)
        unfinished = await bench.repository.in_states([JobState.WAITING, JobState.RUNNING])
        for job in unfinished:
            if job.action is not Action.UPSCALE:
                await bench.sent(job)
                bench.engine.run(job.id.hex)
            await bench.reaches(job, JobState.POSTING)
    return posted


@pytest.mark.parametrize("action", [Action.IMAGINE, Action.UPSCALE, Action.VARY])
async def test_every_moment_is_a_good_one_to_be_killed(tmp_path: Path, action: Action) -> None:
    bench = Bench(tmp_path / "home")
    snapshots = Snapshots(bench.folder, tmp_path / "kills")
    order = {} if action is Action.IMAGINE else {"parent_id": None, "index": 1, "prompt": None}
    async with bench.process():
        if order:
            order["parent_id"] = (await bench.made(prompt="a cat --n 2")).id
        watcher = asyncio.create_task(snapshots.watch())
        job = await bench.order(
            BOB, **{"action": action, "source": "the-one", "prompt": "a cat --n 2", **order}
        )
        if action is not Action.UPSCALE:
            await bench.sent(job)
            snapshots.take()
            bench.engine.run(job.id.hex)
        await bench.reaches(job, JobState.POSTING)
        snapshots.take()
        await bench.jobs.posted(job.id, channel_id=100, message_id=1)
        watcher.cancel()
        snapshots.take()
    assert len(snapshots.taken) >= 4
    seen: set[JobState | None] = set()
    for folder in snapshots.taken:
        killed = Bench(folder)
        async with killed.process():
            before = await killed.repository.of_source("the-one")
            state = before.state if before else None
            seen.add(state)
            posted = await deliver(killed)
            await check(killed, await killed.repository.of_source("the-one"), state, posted)
    assert seen >= {JobState.POSTING, JobState.DONE} | (
        {JobState.WAITING} if action is not Action.UPSCALE else set()
    )


async def check(bench: Bench, job: Job | None, before: JobState | None, posted: dict[str, int]) -> None:
    """Delivered exactly once if it was accepted, and every picture that its row names is whole."""
    assert posted.get("the-one", 0) == (0 if before in (None, JobState.DONE) else 1)
    if before is None:
        assert job is None
        return
    assert job is not None
    assert job.state is JobState.DONE
    assert len(job.images) == len(job.seeds)
    for image in job.images:
        assert hashlib.sha256(image.path.read_bytes()).hexdigest() == image.sha256


async def test_a_restart_keeps_the_order_of_asking(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.process():
        jobs = [await bench.order(asker) for asker in (ADA, BOB, ADA, ADA, ADA, BOB)]
        await bench.sent(jobs[5])
        bench.engine.progress(jobs[1].id.hex, 1, 4)
        bench.engine.make_picture(jobs[1].id.hex, 0)
        await bench.reaches(jobs[1], JobState.RUNNING)
        await bench.jobs.cancel(ADA, jobs[2].id)
    again = Bench(tmp_path)
    again.go_on_from(bench)
    async with again.process():
        assert again.resumed == 5
        await again.sent(jobs[5])
        await again.sent(jobs[4])
        ids = [job.id.hex for job in jobs]
        assert again.engine.waiting == [ids[0], ids[1], ids[3], ids[4], ids[5]]
        first, second = (again.engine.requests[job_id].submitted_at for job_id in ids[:2])
        assert (first, second) == (jobs[0].created_at.timestamp(), jobs[1].created_at.timestamp())
        assert await again.state(jobs[1]) is JobState.WAITING


async def test_an_engine_that_closes_first_fails_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.process():
        jobs = [await bench.order() for _ in range(4)]
        await bench.sent(jobs[2])
        bench.engine.close()
        await bench.settled()
        assert [job.state for job in await bench.jobs.unfinished(ADA.user_id)] == [JobState.WAITING] * 4
    again = Bench(tmp_path)
    async with again.process():
        assert again.resumed == 4


async def test_leftovers_of_what_nobody_asked_for_are_swept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.process():
        kept = await bench.made()
        deleted = await bench.made()
        await bench.jobs.delete(ADA, deleted.id)
        orphan = bench.image_store.path(deleted.id, 0)
        await bench.image_store.write(orphan, b"left by a kill between row and files")
    again = Bench(tmp_path)
    async with again.process():
        assert not orphan.parent.exists()
        assert all(image.path.is_file() for image in kept.images)
        with pytest.raises(UserError):
            await again.jobs.get(deleted.id)
