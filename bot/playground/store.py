"""Where rows and attachment files are kept: SQLite and a folder, or memory.

Rows are JSON under (kind, id): the playground reads all of them once at start and afterwards only writes, so a table
per kind would buy nothing. All statements and file accesses run on one own thread; the event loop never waits for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock, Timeout

T = TypeVar("T")

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2

_FROM_VERSION_1 = (
    "UPDATE rows SET body = json_remove(body, '$.title') WHERE kind = 'attachment'",
    "UPDATE rows SET body = json_remove(body, '$.deferred_ephemeral') WHERE kind = 'interaction'",
)
"""Fields that nothing has ever read."""


class StoreError(Exception):
    """The kept state cannot be used; the message says why and what to do."""


def lock_folder(folder: Path) -> FileLock:
    """Hold a state folder for this process alone until the lock is released, or the process is gone however it ends.

    Raises StoreError where another holds it or it cannot be made. The lock lies beside the folder, which a reset removes.
    """
    lock = FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"Another playground is running with the state in {folder}. Stop it, or give this one a folder of its own."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The folder {folder} cannot be used ({error.strerror or error}). Name one that you may write."
        ) from error
    return lock


class Store(Protocol):
    async def load(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Every kept row as (kind, id, body); raises StoreError for state that is in use or cannot be read."""
        ...

    def put(self, kind: str, row_id: str, body: dict[str, Any]) -> None:
        """Keep a row; it is copied at once and durable after the next `flush`."""
        ...

    def delete(self, kind: str, row_id: str) -> None: ...

    async def flush(self) -> None:
        """Return when every earlier `put` and `delete` is committed; raises the error of a failed write.

        What could not be written stays pending and is tried again by the next `put` or `flush`.
        """
        ...

    async def write_file(self, name: str, content: bytes) -> None: ...

    async def read_file(self, name: str) -> bytes | None: ...

    def delete_file(self, name: str) -> None: ...

    async def file_names(self) -> set[str]: ...

    async def close(self) -> None: ...


class MemoryStore:
    """Keeps nothing beyond the process."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    async def load(self) -> list[tuple[str, str, dict[str, Any]]]:
        return []

    def put(self, kind: str, row_id: str, body: dict[str, Any]) -> None:
        pass

    def delete(self, kind: str, row_id: str) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def write_file(self, name: str, content: bytes) -> None:
        self._files[name] = content

    async def read_file(self, name: str) -> bytes | None:
        return self._files.get(name)

    def delete_file(self, name: str) -> None:
        self._files.pop(name, None)

    async def file_names(self) -> set[str]:
        return set(self._files)

    async def close(self) -> None:
        pass


class SqliteStore:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = folder / "attachments"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="playground-store")
        self._pending: dict[tuple[str, str], str | None] = {}
        self._writer: asyncio.Task[sqlite3.Error | None] | None = None
        self._database: sqlite3.Connection | None = None
        self._lock: FileLock | None = None

    async def load(self) -> list[tuple[str, str, dict[str, Any]]]:
        return await self._run(self._open)

    def put(self, kind: str, row_id: str, body: dict[str, Any]) -> None:
        self._later(kind, row_id, json.dumps(body))

    def delete(self, kind: str, row_id: str) -> None:
        self._later(kind, row_id, None)

    async def flush(self) -> None:
        self._write_pending()
        # Shielded, because a caller that gives up waiting must not take the writes of others along.
        if self._writer is not None and (failure := await asyncio.shield(self._writer)) is not None:
            raise failure

    async def write_file(self, name: str, content: bytes) -> None:
        await self._run(lambda: self._replace_file(name, content))

    async def read_file(self, name: str) -> bytes | None:
        path = self._files / name
        return await self._run(lambda: path.read_bytes() if path.is_file() else None)

    def delete_file(self, name: str) -> None:
        self._thread.submit((self._files / name).unlink, missing_ok=True)

    async def file_names(self) -> set[str]:
        return await self._run(lambda: {path.name for path in self._files.iterdir()})

    async def close(self) -> None:
        try:
            await self.flush()
        finally:
            await self._run(self._close_database)
            self._thread.shutdown()

    def _later(self, kind: str, row_id: str, body: str | None) -> None:
        # Changes of one turn of the event loop become one transaction: a crash never shows half of an edit.
        self._pending[kind, row_id] = body
        asyncio.get_running_loop().call_soon(self._write_pending)

    def _write_pending(self) -> None:
        if self._pending and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write_all())

    async def _write_all(self) -> sqlite3.Error | None:
        """The only writer: transactions in their order, until nothing is pending or one has failed."""
        while self._pending:
            changes, self._pending = self._pending, {}
            try:
                await self._run(partial(self._write, changes))
            except sqlite3.Error as error:
                # What has changed since is newer than what failed.
                self._pending = {**changes, **self._pending}
                logger.error("The playground's state could not be written: %s", error)
                return error
        return None

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    # What follows runs on the store's thread only.

    def _open(self) -> list[tuple[str, str, dict[str, Any]]]:
        self._lock = lock_folder(self._folder)
        self._files.mkdir(exist_ok=True)
        path = self._folder / "playground.sqlite3"
        try:
            self._database = database = sqlite3.connect(path, isolation_level=None)
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{path} was written by a newer version of Fourfold (its format is {version}, "
                    f"this one reads up to {SCHEMA_VERSION}). Update Fourfold, or start afresh with --reset."
                )
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS rows "
                "(kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id))"
            )
            database.execute("BEGIN IMMEDIATE")
            for statement in _FROM_VERSION_1 if version == 1 else ():
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")
            rows = database.execute(
                "SELECT kind, id, body FROM rows ORDER BY kind, length(id), id"
            ).fetchall()
            loaded = [(kind, row_id, json.loads(body)) for kind, row_id, body in rows]
        except (sqlite3.DatabaseError, ValueError) as error:
            raise StoreError(
                f"The playground's state in {path} cannot be read ({error}). Start afresh with --reset."
            ) from error
        return loaded

    def _write(self, changes: dict[tuple[str, str], str | None]) -> None:
        assert self._database is not None
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for (kind, row_id), body in changes.items():
                if body is None:
                    self._database.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, row_id))
                else:
                    self._database.execute(
                        "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (kind, row_id, body)
                    )
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self._database.execute("ROLLBACK")
            raise

    def _replace_file(self, name: str, content: bytes) -> None:
        unfinished = self._files / f"{name}.part"
        unfinished.write_bytes(content)
        unfinished.replace(self._files / name)

    def _close_database(self) -> None:
        if self._database is not None:
            self._database.close()
        if self._lock is not None:
            self._lock.release()
