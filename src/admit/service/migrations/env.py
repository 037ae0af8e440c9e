"""Alembic's entry: runs the revisions on the connection it is handed, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from admit.service.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="admit_alembic_version",
)
context.run_migrations()
