"""Migrations of the admit_ tables, with a version table of their own beside whatever the host application has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from admit.errors import ConfigurationError

if TYPE_CHECKING:
    from admit.service.storage import Storage

VERSION_TABLE: Final = "admit_alembic_version"
HEAD: Final = "0001"
"""The revision this code works with."""


def current(connection: Connection) -> str | None:
    """The revision of the tables in this database, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables up to `revision`, inside the connection's own transaction; the caller commits."""
    from alembic import command  # here: it is slow to import, and a current database does not need it
    from alembic.config import Config

    if not connection.in_transaction():
        connection.begin()  # tells Alembic that somebody else commits
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def prepare(storage: Storage) -> None:
    """Bring an SQLite database up to HEAD; on PostgreSQL only look whether it is there. Raises ConfigurationError."""
    revision = storage.read(lambda tx: current(tx.connection))
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise ConfigurationError(f"the database is at revision {revision}, newer than this version of Admit ({HEAD})")
    if not storage.sqlite:
        raise ConfigurationError(
            f"the tables are at revision {revision}, and {HEAD} is needed: run `jwt admin db upgrade`"
        )
    storage.write(lambda tx: upgrade(tx.connection))
