"""A client's own session policy; the devices that users log in from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Take a database at 0001 to this revision."""
    op.add_column("admit_clients", sa.Column("policy", sa.Text(), nullable=True))
    op.create_table(
        "admit_devices",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["admit_users.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("admit_devices_seen", "admit_devices", ["seen_at"], unique=False)
    op.create_index("admit_devices_user", "admit_devices", ["user_id"], unique=False)
