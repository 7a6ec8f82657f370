"""Files that cannot be opened are refused with a sentence, and left as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.database import inspect_database, migrate, open_database
from bot.errors import StartupError


def picture_path(job_id: object, index: int) -> Path:
    return Path(f"{job_id}-{index}.png")


async def test_a_new_file_is_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "fourfold.db"
    assert inspect_database(path) is None
    async with open_database(path, picture_path):
        assert inspect_database(path) is not None
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fourfold.db"
    path.write_text("these are the notes of somebody else, long enough to be read as a header of a file")
    with pytest.raises(StartupError, match="file is not a database"):
        async with open_database(path, picture_path):
            pass
    assert path.read_text().startswith("these are the notes")


async def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fourfold.db"
    path.mkdir()
    with pytest.raises(StartupError, match="is not a file"):
        async with open_database(path, picture_path):
            pass


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fourfold.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '2999_01_01_far_future'")
    with pytest.raises(StartupError, match="newer Fourfold"):
        async with open_database(path, picture_path):
            pass


async def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fourfold.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE jobs (salary)")
    with pytest.raises(StartupError, match="already exists"):
        async with open_database(path, picture_path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("jobs",)]


async def test_a_locked_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.database.database.BUSY_TIMEOUT_MS", 10)
    path = tmp_path / "fourfold.db"
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StartupError, match="locked"):
            migrate(path)
