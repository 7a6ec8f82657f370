"""Create users, jobs, images and facts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_jobs"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_facts")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sampling", sa.Text(), nullable=False),
        sa.Column("seeds", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("parent_index", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_values", sa.Text(), nullable=True),
        sa.Column("unread_words", sa.Text(), nullable=False),
        sa.Column("unknown_words", sa.Text(), nullable=False),
        sa.Column("result_channel_id", sa.BigInteger(), nullable=True),
        sa.Column("result_message_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(action IN ('upscale', 'vary')) = (parent_index IS NOT NULL)", name=op.f("ck_jobs_parent_index")
        ),
        sa.CheckConstraint("action <> 'imagine' OR parent_id IS NULL", name=op.f("ck_jobs_parent")),
        sa.CheckConstraint("action IN ('imagine', 'upscale', 'vary', 'reroll')", name=op.f("ck_jobs_action")),
        sa.CheckConstraint("result_message_id IS NULL OR state = 'done'", name=op.f("ck_jobs_result_state")),
        sa.CheckConstraint("state <> 'done' OR finished_at IS NOT NULL", name=op.f("ck_jobs_finished")),
        sa.CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name=op.f("ck_jobs_error")),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'posting', 'done', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint(
            "(result_channel_id IS NULL) = (result_message_id IS NULL)", name=op.f("ck_jobs_result")
        ),
        sa.CheckConstraint("(token IS NULL) = (token_expires_at IS NULL)", name=op.f("ck_jobs_token")),
        sa.CheckConstraint("device_seconds >= 0", name=op.f("ck_jobs_device_seconds")),
        sa.CheckConstraint("json_array_length(seeds) BETWEEN 1 AND 16", name=op.f("ck_jobs_seeds")),
        sa.CheckConstraint("length(prompt) BETWEEN 1 AND 4000", name=op.f("ck_jobs_prompt")),
        sa.CheckConstraint("parent_index BETWEEN 0 AND 15", name=op.f("ck_jobs_parent_index_range")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_jobs_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["jobs.id"], name=op.f("fk_jobs_parent_id_jobs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("source", name=op.f("uq_jobs_source")),
    )
    op.create_index("ix_jobs_owner_id_created_at", "jobs", ["owner_id", "created_at"])
    op.create_index("ix_jobs_parent_id_parent_index", "jobs", ["parent_id", "parent_index"])
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_index(
        "ix_jobs_message_id", "jobs", ["message_id"], sqlite_where=sa.text("message_id IS NOT NULL")
    )

    op.create_table(
        "images",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("safety", sa.String(length=16), nullable=False),
        sa.CheckConstraint("safety IN ('unchecked', 'safe', 'flagged')", name=op.f("ck_images_safety")),
        sa.CheckConstraint('"index" BETWEEN 0 AND 15', name=op.f("ck_images_index")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_images_sha256")),
        sa.CheckConstraint("seed BETWEEN 0 AND 4294967295", name=op.f("ck_images_seed")),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_images_size")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_images_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_images")),
    )


def downgrade() -> None:
    op.drop_table("images")
    op.drop_index("ix_jobs_message_id", "jobs")
    op.drop_index("ix_jobs_state", "jobs")
    op.drop_index("ix_jobs_parent_id_parent_index", "jobs")
    op.drop_index("ix_jobs_owner_id_created_at", "jobs")

    op.drop_table("jobs")
    op.drop_table("users")
    op.drop_table("facts")
