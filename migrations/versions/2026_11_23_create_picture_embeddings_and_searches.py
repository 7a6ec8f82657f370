"""Create picture embeddings and searches, and let jobs say which pictures theirs look like."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_embeddings"
down_revision = "2026_11_22_locale"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "picture_embeddings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_picture_embeddings_sha256")),
        sa.CheckConstraint("length(vector) > 0", name=op.f("ck_picture_embeddings_vector")),
        sa.ForeignKeyConstraint(
            ["job_id", "index"],
            ["images.job_id", "images.index"],
            name=op.f("fk_picture_embeddings_job_id_images"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_picture_embeddings")),
        sa.UniqueConstraint(
            "job_id", "index", "model", name=op.f("uq_picture_embeddings_job_id_index_model")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_picture_embeddings_owner_id_model", "picture_embeddings", ["owner_id", "model"])
    op.create_table(
        "searches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("length(vector) > 0", name=op.f("ck_searches_vector")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
    )
    op.create_index("ix_searches_created_at", "searches", ["created_at"])
    op.add_column("jobs", sa.Column("likeness", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "likeness")
    op.drop_index("ix_searches_created_at", "searches")
    op.drop_table("searches")
    op.drop_index("ix_picture_embeddings_owner_id_model", "picture_embeddings")
    op.drop_table("picture_embeddings")
