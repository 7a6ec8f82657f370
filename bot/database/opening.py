"""Open the database file, make or migrate its schema, and say clearly when that is impossible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from uuid import UUID

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from bot.database.database import WRITES, Database, prepare, reason, sqlite_url
from bot.errors import StartupError


@asynccontextmanager
async def open_database(path: Path, picture_path: Callable[[UUID, int], Path]) -> AsyncIterator[Database]:
    """Migrate the file to this program's schema, making it where there is none, and open it.

    Raises:
        StartupError: the file cannot be read, is no database, or was written by a newer Fourfold.
    """
    await asyncio.to_thread(migrate, path)
    database = Database(path, picture_path)
    try:
        yield database
    finally:
        await database.close()


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the file's schema to `revision`, wholly or not at all. Raises StartupError as `open_database` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inspect_database(path)
    db_engine = create_engine(sqlite_url(path, "pysqlite"))
    prepare(db_engine)
    config = alembic_config()
    try:
        with db_engine.execution_options(**WRITES).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except DatabaseError as error:
        raise StartupError(
            f"The database {path} could not be brought to this version: {reason(error)}. Nothing in it was changed."
        ) from error
    finally:
        db_engine.dispose()


def inspect_database(path: Path) -> str | None:
    """The revision of a file's schema, None for a new file; changes nothing.

    Raises:
        StartupError: as `open_database` does.
    """
    if path.exists() and not path.is_file():
        raise StartupError(
            f"The database {path} is not a file. Move it away or set FOURFOLD_HOME to another folder."
        )
    if not path.exists():
        return None
    db_engine = create_engine(sqlite_url(path, "pysqlite"))
    try:
        with db_engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        raise StartupError(
            f"The database {path} cannot be opened: {reason(error)}. Check that this user may read and write it,"
            " or move it away to begin with an empty one."
        ) from error
    finally:
        db_engine.dispose()
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise StartupError(
            f"The database {path} was written by a newer Fourfold (revision {revision}). Update Fourfold,"
            " or set FOURFOLD_HOME to another folder."
        )
    return revision


def alembic_config() -> Config:
    """Alembic's configuration, built from where the migrations are installed."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    # Alembic reads paths as separated lists and would warn about the default separator.
    config.set_main_option("path_separator", "os")
    return config
