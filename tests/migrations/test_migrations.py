"""The migrations make exactly the schema that the code declares, from nothing and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from bot.database import inspect_database, migrate
from bot.database.database import WRITES, prepare, sqlite_url
from bot.database.opening import alembic_config
from bot.database.tables import Base


@pytest.fixture
def db_engine(tmp_path: Path) -> Iterator[Engine]:
    db_engine = create_engine(sqlite_url(tmp_path / "fourfold.db", "pysqlite"))
    prepare(db_engine)
    yield db_engine
    db_engine.dispose()


def schema(connection: Connection) -> dict[str, set[str]]:
    """Each table's and index's own SQL as a set of clauses, whose order means nothing."""
    rows = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    )
    # A column that was added later stands on the line of the one before it.
    clause = r",?\s*\n\s*|, (?=\w+ [A-Z]+)"
    return {name: set(re.split(clause, sql.replace('"jobs"', "jobs"))) for name, sql in rows}


def move(db_engine: Engine, to: str) -> None:
    config = alembic_config()
    with db_engine.execution_options(**WRITES).begin() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if to == "head" else command.downgrade)(config, to)


def test_up_from_empty_makes_the_declared_schema(db_engine: Engine, tmp_path: Path) -> None:
    move(db_engine, "head")
    declared = create_engine(sqlite_url(tmp_path / "declared.db", "pysqlite"))
    with declared.begin() as connection:
        Base.metadata.create_all(connection)
        wanted = schema(connection)
    declared.dispose()
    with db_engine.connect() as connection:
        assert schema(connection) == wanted
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_down_leaves_nothing_and_up_works_again(db_engine: Engine) -> None:
    move(db_engine, "head")
    move(db_engine, "base")
    assert set(inspect(db_engine).get_table_names()) <= {"alembic_version"}
    move(db_engine, "head")
    assert set(inspect(db_engine).get_table_names()) >= {"users", "jobs", "images", "facts"}


def test_a_column_that_is_added_later_keeps_every_row(db_engine: Engine, tmp_path: Path) -> None:
    migrate(tmp_path / "fourfold.db", "2026_11_22_jobs")
    with db_engine.begin() as connection:
        connection.execute(text("INSERT INTO users (id, name, created_at) VALUES (1, 'Ada', '2026-01-01')"))
        connection.execute(
            text(
                "INSERT INTO jobs (id, action, state, owner_id, source, prompt, parameters, model, sampling, seeds,"
                " channel_id, created_at, device_seconds, unread_words, unknown_words) VALUES ('07', 'imagine',"
                " 'waiting', 1, '1:0', 'a cat', '{}', 'm', '{}', '[5]', 3, '2026-01-01', 0, '[]', '[]')"
            )
        )
        connection.execute(
            text("INSERT INTO images VALUES ('07', 0, 5, 64, 64, :sha256, 'safe')"), {"sha256": "0" * 64}
        )
    for to, locales in (("head", ["en"]), ("2026_11_22_jobs", None), ("head", ["en"])):
        move(db_engine, to)
        with db_engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM images JOIN jobs ON job_id = id")) == 1
            if locales:
                assert list(connection.scalars(text("SELECT locale FROM jobs"))) == locales


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fourfold.db"
    migrate(path)
    revision = inspect_database(path)
    migrate(path)
    assert (
        inspect_database(path) == revision == ScriptDirectory.from_config(alembic_config()).get_current_head()
    )


def test_files_are_named_by_date_and_revisions_form_one_line() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert len(scripts.get_heads()) == 1
    for script in scripts.walk_revisions():
        assert re.match(r"\d{4}_\d{2}_\d{2}_\w+\.py$", Path(script.path).name)
