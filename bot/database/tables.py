"""The schema. Constraints live here, so that no mistake elsewhere can store a job that makes no sense."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from bot.database.column_types import FrozenJson, JsonDict, JsonTuple, UtcDateTime
from bot.domain import Action, JobState, Likeness, Parameters, Safety, SamplingParams


class Base(DeclarativeBase):
    """Every constraint has a name, because SQLite can only change named ones."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    allowed = ", ".join(f"'{member}'" for member in kind)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


class UserTable(Base):
    """A Discord user who has asked for something; the id is the snowflake."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    """The newest display name, for lists and metadata."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobTable(Base):
    """One row per job; the columns are those of `bot.domain.Job`."""

    __tablename__ = "jobs"
    __table_args__ = (
        _one_of("action", Action),
        _one_of("state", JobState),
        CheckConstraint("length(prompt) BETWEEN (action = 'imagine') AND 4000", name="prompt"),
        CheckConstraint("json_array_length(seeds) BETWEEN 1 AND 16", name="seeds"),
        CheckConstraint("action <> 'imagine' OR parent_id IS NULL", name="parent"),
        CheckConstraint("(action IN ('upscale', 'vary')) = (parent_index IS NOT NULL)", name="parent_index"),
        CheckConstraint("parent_index BETWEEN 0 AND 15", name="parent_index_range"),
        CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="error"),
        CheckConstraint("state <> 'done' OR finished_at IS NOT NULL", name="finished"),
        CheckConstraint("(token IS NULL) = (token_expires_at IS NULL)", name="token"),
        CheckConstraint("(result_channel_id IS NULL) = (result_message_id IS NULL)", name="result"),
        CheckConstraint("result_message_id IS NULL OR state = 'done'", name="result_state"),
        CheckConstraint("device_seconds >= 0", name="device_seconds"),
        Index("ix_jobs_owner_id_created_at", "owner_id", "created_at"),
        Index("ix_jobs_parent_id_parent_index", "parent_id", "parent_index"),
        Index("ix_jobs_state", "state"),
        # Few rows at a time have a progress message, so that finding them after a crash reads just those.
        Index("ix_jobs_message_id", "message_id", sqlite_where=text("message_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    action: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    guild_id: Mapped[int | None] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(100), unique=True)
    prompt: Mapped[str] = mapped_column(Text)
    parameters: Mapped[Parameters] = mapped_column(FrozenJson(Parameters))
    model: Mapped[str] = mapped_column(Text)
    sampling: Mapped[SamplingParams] = mapped_column(FrozenJson(SamplingParams))
    seeds: Mapped[tuple[int, ...]] = mapped_column(JsonTuple)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    message_id: Mapped[int | None] = mapped_column(BigInteger)
    token: Mapped[str | None] = mapped_column(Text)
    token_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    locale: Mapped[str] = mapped_column(String(16), server_default="en")
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    parent_index: Mapped[int | None]
    uploads: Mapped[tuple[str, ...]] = mapped_column(JsonTuple, server_default="[]")
    reference_count: Mapped[int] = mapped_column(server_default="0")
    strip: Mapped[bool] = mapped_column(server_default=text("0"))
    moved_from: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    device_seconds: Mapped[float]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_values: Mapped[dict[str, str] | None] = mapped_column(JsonDict)
    unread_words: Mapped[tuple[str, ...]] = mapped_column(JsonTuple)
    unknown_words: Mapped[tuple[str, ...]] = mapped_column(JsonTuple)
    texts: Mapped[tuple[str, ...]] = mapped_column(JsonTuple, server_default="[]")
    result_channel_id: Mapped[int | None] = mapped_column(BigInteger)
    result_message_id: Mapped[int | None] = mapped_column(BigInteger)
    likeness: Mapped[Likeness | None] = mapped_column(FrozenJson(Likeness))

    owner: Mapped[UserTable] = relationship(lazy="joined", innerjoin=True)
    images: Mapped[list[ImageTable]] = relationship(
        lazy="selectin", order_by="ImageTable.index", cascade="all, delete-orphan", passive_deletes=True
    )


class ImageTable(Base):
    """A finished picture; its bytes are in the image store."""

    __tablename__ = "images"
    __table_args__ = (
        _one_of("safety", Safety),
        CheckConstraint('"index" BETWEEN 0 AND 15', name="index"),
        CheckConstraint("seed BETWEEN 0 AND 4294967295", name="seed"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        CheckConstraint("length(sha256) = 64", name="sha256"),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    safety: Mapped[str] = mapped_column(String(16))


class PictureEmbeddingTable(Base):
    """Where a model that compares pictures with texts puts a picture; gone with the picture."""

    __tablename__ = "picture_embeddings"
    __table_args__ = (
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("length(vector) > 0", name="vector"),
        ForeignKeyConstraint(
            ["job_id", "index"],
            ["images.job_id", "images.index"],
            name="fk_picture_embeddings_job_id_images",
            ondelete="CASCADE",
        ),
        UniqueConstraint("job_id", "index", "model", name="uq_picture_embeddings_job_id_index_model"),
        # SQLite ends every index with the row's id, so the newest of a user's are at the end of theirs.
        Index("ix_picture_embeddings_owner_id_model", "owner_id", "model"),
        # No id is given twice, so that whoever keeps vectors in memory sees by the ids what has come and gone.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(Uuid)
    index: Mapped[int]
    owner_id: Mapped[int] = mapped_column(BigInteger)
    """The job's, repeated here for the index."""
    model: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    """The picture's."""
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """float16, little-endian, of length 1."""


class SearchTable(Base):
    """What somebody looked for by words or example, so that its pages can be turned after a restart as well."""

    __tablename__ = "searches"
    __table_args__ = (
        CheckConstraint("length(vector) > 0", name="vector"),
        Index("ix_searches_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner_id: Mapped[int] = mapped_column(BigInteger)
    model: Mapped[str] = mapped_column(Text)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FactTable(Base):
    """Small things worth remembering by name, such as which commands were registered last."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
