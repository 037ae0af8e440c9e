"""Clients with keys and two secrets at a time; the assertions they have used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Take a database at 0002 to this revision."""
    op.add_column("admit_clients", sa.Column("previous_hash", sa.LargeBinary(), nullable=True))
    op.add_column("admit_clients", sa.Column("previous_until", sa.BigInteger(), nullable=True))
    op.add_column("admit_clients", sa.Column("jwks", sa.Text(), nullable=True))
    op.create_table(
        "admit_assertions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("admit_assertions_exp", "admit_assertions", ["exp"], unique=False)
