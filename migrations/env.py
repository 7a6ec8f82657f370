"""How Alembic runs: on the connection that `bot.database` hands over, or on the configured database from a terminal."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from bot.database.database import prepare, sqlite_url
from bot.database.tables import Base
from bot.settings import Settings


def run(connection: Connection) -> None:
    # SQLite changes tables by copying them (batch mode); its DDL is transactional once we begin transactions ourselves.
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    db_engine = create_engine(sqlite_url(Settings().database_path, "pysqlite"))
    prepare(db_engine)
    with db_engine.begin() as connection:
        run(connection)
    db_engine.dispose()
