"""Give jobs their owner's locale; those that are there were told of in English."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_locale"
down_revision = "2026_11_22_jobs"
branch_labels = None
depends_on = None


# SQLite's own ADD and DROP COLUMN leave the table where it is. Batch mode would replace it, and dropping the old one
# would empty the tables that refer to it.
def upgrade() -> None:
    op.add_column("jobs", sa.Column("locale", sa.String(length=16), server_default="en", nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "locale")
