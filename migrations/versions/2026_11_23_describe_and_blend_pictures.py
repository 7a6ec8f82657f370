"""Let jobs describe and blend pictures: jobs without a prompt, uploads, found prompts, embeddings on the move."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_pictures"
down_revision = "2026_11_23_embeddings"
branch_labels = None
depends_on = None

_CHECKS = (
    (
        "action IN ('imagine', 'upscale', 'vary', 'reroll')",
        "action IN ('imagine', 'upscale', 'vary', 'reroll', 'describe', 'blend')",
    ),
    ("length(prompt) BETWEEN 1 AND 4000", "length(prompt) BETWEEN (action = 'imagine') AND 4000"),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("texts", sa.Text(), server_default="[]", nullable=False))
    op.add_column("jobs", sa.Column("uploads", sa.Text(), server_default="[]", nullable=False))
    op.add_column("jobs", sa.Column("reference_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("strip", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("moved_from", sa.Text(), nullable=True))
    _change_checks(_CHECKS)


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE action IN ('describe', 'blend') OR prompt = ''")
    _change_checks(tuple((new, old) for old, new in _CHECKS))
    for column in ("texts", "uploads", "reference_count", "strip", "moved_from"):
        op.drop_column("jobs", column)


def _change_checks(changes: tuple[tuple[str, str], ...]) -> None:
    """Write CHECKs anew in the schema itself, as SQLite's own manual does it (lang_altertable.html, 7).

    Rows that are there meet the new ones. A new table in place of the old one would empty those that refer to it.
    """
    connection = op.get_bind()
    table = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'jobs'").scalar_one()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    for old, new in changes:
        if old not in table:
            raise RuntimeError(f"the table jobs has no CHECK ({old})")
        table = table.replace(old, new)
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql("UPDATE sqlite_master SET sql = ? WHERE name = 'jobs'", (table,))
    # Every connection, this one too, reads the schema again.
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
