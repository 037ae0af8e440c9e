"""Migrations of the admit_ tables, with a version table of their own beside whatever the host application has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from admit.errors import ConfigurationError
from admit.service.schema import metadata

if TYPE_CHECKING:
    from admit.service.storage import Storage

VERSION_TABLE: Final = "admit_alembic_version"
HEAD: Final = "0005"
"""The revision this code works with."""


class WrongRevision(ConfigurationError):
    """The tables are not those that this version of Admit works with; the message says how to mend it."""


def current(connection: Connection) -> str | None:
    """The revision of the tables in this database, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def missing(connection: Connection) -> list[str]:
    """The tables and columns that this code works with and the database lacks."""
    looked = inspect(connection)
    present = set(looked.get_table_names())
    lacking = []
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in looked.get_columns(table.name)} if table.name in present else set()
        lacking += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return lacking


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables up to `revision`, inside the connection's own transaction; the caller commits.

    Two that upgrade at once: one waits for the other, for as long as the database lets it wait for a lock, and then finds
    nothing to do.
    """
    from alembic import command  # here: it is slow to import, and a current database does not need it
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes its time
        if connection.dialect.driver == "psycopg":
            from admit.service.postgres import wait_long  # here: the driver is an extra

            wait_long(connection)
    # The version's row, or the name of its table where there is none yet, is the lock: every database has those.
    connection.execute(
        text(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    )
    connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = version_num"))  # noqa: S608 - a constant
    if not connection.in_transaction():
        connection.begin()  # tells Alembic that somebody else commits
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def prepare(storage: Storage) -> None:
    """Bring an SQLite database up to HEAD; on PostgreSQL only look whether it is there. Raises WrongRevision."""
    revision = storage.read(lambda tx: current(tx.connection))
    if storage.sqlite and (revision is None or revision < HEAD):
        storage.write(lambda tx: upgrade(tx.connection))
    else:
        must_be_head(revision)


def must_be_head(revision: str | None) -> None:
    """Raise WrongRevision for tables of an earlier or a later version of Admit."""
    not_newer(revision)
    if revision != HEAD:
        raise WrongRevision(
            f"the tables are at revision {revision or 'none'}, and {HEAD} is needed: run `jwt admin db upgrade`"
        )


def not_newer(revision: str | None) -> None:
    """Raise WrongRevision for tables of a later version of Admit: nobody here knows what they mean."""
    if revision is not None and revision > HEAD:
        raise WrongRevision(f"the database is at revision {revision}, newer than this version of Admit ({HEAD})")
