"""How long a search by what pictures look like takes, with 100,000 pictures of one user.

Run with `python -m tests.benchmarks.bench_looks [PICTURES] [WIDTH]`.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import numpy as np

from bot.database import JobRepository, open_database
from bot.downloads import Downloads
from bot.image_store import ImageStore
from bot.services import LookService
from bot.services.embedder import Embedder
from bot.services.vectors import STORED
from tests.bot.database.test_job_repository import new_job, picture_path
from tests.bot.services.test_looks import LookingEngine


async def _main(count: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fourfold.db"
        async with open_database(file, picture_path) as database:
            jobs = JobRepository(database)
            job = await jobs.add(new_job())
            _fill(file, job.id, count, width)
            engine = LookingEngine()
            looks = LookService(
                Embedder(engine), database, ImageStore(Path(folder) / "pictures"), Downloads()
            )
            longest = asyncio.create_task(_longest_pause())
            for name in ("first", "again", "again"):
                started = time.perf_counter()
                vectors = await looks._vectors(42, "clip")
                read = time.perf_counter()
                await asyncio.to_thread(vectors.best, np.ones(width, np.float32), 120)
                ended = time.perf_counter()
                sys.stdout.write(
                    f"{name}: {1000 * (read - started):.0f} ms to read {len(vectors)} vectors,"
                    f" {1000 * (ended - read):.0f} ms to rank them ({vectors.size / 1e6:.0f} MB)\n"
                )
            longest.cancel()
            pause = await longest
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            sys.stdout.write(
                f"longest pause of the event loop {1000 * pause:.0f} ms, peak memory {peak:.0f} MB\n"
            )


def _fill(file: Path, job_id: UUID, count: int, width: int) -> None:
    generator = np.random.default_rng(0)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for first in range(0, count, 1000):
            rows = generator.normal(size=(min(1000, count - first), width))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            connection.executemany(
                'INSERT INTO picture_embeddings (job_id, "index", owner_id, model, sha256, vector)'
                " VALUES (?, 0, 42, 'clip', ?, ?)",
                (
                    (UUID(int=first + number).hex, f"{first + number:064x}", row.astype(STORED).tobytes())
                    for number, row in enumerate(rows)
                ),
            )
    connection.close()


async def _longest_pause() -> float:
    longest = 0.0
    try:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)
    except asyncio.CancelledError:
        return longest


if __name__ == "__main__":
    asyncio.run(_main(*(int(word) for word in [*sys.argv[1:], "100000", "512"][:2])))
