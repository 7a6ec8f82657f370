"""The only SQL. Repositories return frozen domain objects; tables and sessions never leave this package.

opening          open_database: migrate, then open; inspect_database for `fourfold doctor`
database         connections (WAL, foreign keys, busy timeout) and db_session, one transaction each
tables           users, jobs, images, embeddings, searches, facts;  column_types  the domain's types as columns
job_repository   jobs with their pictures          fact_repository   values by key
embedding_repository   where pictures lie for a model that compares them, and what was searched for
"""

from __future__ import annotations

from bot.database.database import Database, DatabaseUnavailableError
from bot.database.embedding_repository import EmbeddingRepository, Picture, Vectors
from bot.database.fact_repository import FactRepository
from bot.database.job_repository import JobRepository
from bot.database.opening import inspect_database, migrate, open_database

__all__ = [
    "Database",
    "DatabaseUnavailableError",
    "EmbeddingRepository",
    "FactRepository",
    "JobRepository",
    "Picture",
    "Vectors",
    "inspect_database",
    "migrate",
    "open_database",
]
