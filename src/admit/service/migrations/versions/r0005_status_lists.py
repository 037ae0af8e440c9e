"""Sessions have a place in the status lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Take a database at 0004 to this revision."""
    op.add_column("admit_sessions", sa.Column("status_idx", sa.BigInteger(), nullable=True))
    op.create_index("admit_sessions_status", "admit_sessions", ["status_idx"], unique=True)
