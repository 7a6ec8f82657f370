"""The open database: connections set up as Fourfold needs them, and the one way to a session."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

BUSY_TIMEOUT_MS = 5000
WRITES = {"fourfold_writes": True}
"""The execution option of transactions that write."""


class DatabaseUnavailableError(Exception):
    """The file is locked, full or gone; nothing of this transaction was stored. Trying again may succeed."""


class Database:
    """Made by `open_database`. Repositories take it; sessions never leave `bot.database`."""

    def __init__(self, path: Path, picture_path: Callable[[UUID, int], Path]) -> None:
        self.picture_path = picture_path
        """Where the picture of a job stands: rows hold no paths, so the data folder can be moved."""
        # Errors would repeat a statement's values, and with them interaction tokens, in the log.
        self._db_engine = create_async_engine(sqlite_url(path, "aiosqlite"), hide_parameters=True)
        prepare(self._db_engine.sync_engine)
        self._reading = async_sessionmaker(self._db_engine, expire_on_commit=False)
        self._writing = async_sessionmaker(
            self._db_engine.execution_options(**WRITES), expire_on_commit=False
        )

    @asynccontextmanager
    async def db_session(self, *, write: bool = False) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back on any error.

        A writer takes SQLite's write lock at once, so that what it reads before it writes cannot change in between.

        Raises:
            DatabaseUnavailableError: SQLite could not do it now.
        """
        try:
            async with (self._writing if write else self._reading).begin() as db_session:
                yield db_session
        except (OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailableError(reason(error)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._db_engine.dispose()


def sqlite_url(path: Path, driver: str) -> str:
    """SQLAlchemy's address of a file."""
    return f"sqlite+{driver}:///{path.as_posix()}"


def prepare(db_engine: Engine) -> None:
    """Set up every connection of an engine, and take transactions into our own hands."""

    @event.listens_for(db_engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        # sqlite3 would begin transactions late and never around DDL; without it, migrations are all or nothing.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.execute("PRAGMA journal_mode = WAL")
        finally:
            cursor.close()

    @event.listens_for(db_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().items() >= WRITES.items()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def reason(error: BaseException) -> str:
    """What SQLite itself said, without SQLAlchemy's wrapping."""
    original = getattr(error, "orig", None) or error
    cause = original if isinstance(original, sqlite3.Error) else original.__cause__ or original
    return str(cause)
