"""Failures of logins; seeds and recovery codes of second factors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Take a database at 0003 to this revision."""
    op.create_table(
        "admit_throttle",
        sa.Column("id", ID, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("admit_throttle_expires", "admit_throttle", ["expires_at"], unique=False)
    op.create_table(
        "admit_totp",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["admit_users.id"]),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "admit_recovery_codes",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["admit_users.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("admit_recovery_codes_user", "admit_recovery_codes", ["user_id"], unique=False)
