"""Small things worth remembering by name."""

from __future__ import annotations

from sqlalchemy.dialects.sqlite import insert

from bot.database.database import Database
from bot.database.tables import FactTable


class FactRepository:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str) -> str | None:
        """What was stored under a key, if anything was."""
        async with self._database.db_session() as db_session:
            row = await db_session.get(FactTable, key)
            return row.value if row else None

    async def set(self, key: str, value: str) -> None:
        """Store a value under a key, in place of an older one."""
        async with self._database.db_session(write=True) as db_session:
            new = insert(FactTable).values(key=key, value=value)
            await db_session.execute(
                new.on_conflict_do_update(index_elements=[FactTable.key], set_={"value": value})
            )
