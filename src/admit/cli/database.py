"""`jwt admin db`: the tables of a service's database, brought up to what this version of Admit works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.group import CONTEXT, Group
from admit.cli.output import note
from admit.cli.serve import read_settings, settings_options
from admit.cli.store import no_service, right
from admit.service import migrations
from admit.service import restored as restoring
from admit.service.storage import Storage

if TYPE_CHECKING:
    from pathlib import Path

_where: Final = settings_options("data", "database")


@contextmanager
def _storage(config: Path | None, flags: dict[str, Any]) -> Iterator[Storage]:
    settings = read_settings(config, flags)
    if settings.sqlite is not None and not settings.sqlite.parent.is_dir():
        raise Stop(f"there is no folder {settings.sqlite.parent}: is {right(settings)}", Exit.DATABASE)
    storage = Storage(settings.database_url)
    try:
        yield storage
    except migrations.WrongRevision as error:
        raise Stop(str(error), Exit.DATABASE) from None
    finally:
        storage.close()


def _is_there(config: Path | None, flags: dict[str, Any]) -> bool:
    """Whether there is a database to look at: to open an SQLite file that is not there is to make it."""
    file = read_settings(config, flags).sqlite
    return file is None or file.exists()


@click.group(cls=Group, context_settings=CONTEXT)
def db() -> None:
    """The tables in the database. On SQLite a service brings them up by itself; on PostgreSQL it asks for `upgrade`."""


@db.command()
@_where
def upgrade(config: Path | None, **flags: Any) -> None:
    """Bring the tables up to this version of Admit, in one transaction, and print their revision."""
    with _storage(config, flags) as storage:
        before = storage.read(lambda tx: migrations.current(tx.connection))
        migrations.not_newer(before)
        if before != migrations.HEAD:
            storage.write(lambda tx: migrations.upgrade(tx.connection))
    click.echo(migrations.HEAD)
    note("Nothing to do." if before == migrations.HEAD else f"The tables went from {before or 'none'} to it.")


@db.command()
@_where
def current(config: Path | None, **flags: Any) -> None:
    """Print the revision of the tables, or `none`."""
    with _storage(config, flags) as storage:
        there = _is_there(config, flags)
        click.echo((there and storage.read(lambda tx: migrations.current(tx.connection))) or "none")


@db.command()
@_where
def check(config: Path | None, **flags: Any) -> None:
    """Say whether this version of Admit can work with the tables; ends with 22 where it cannot."""
    with _storage(config, flags) as storage:
        if not _is_there(config, flags):
            migrations.must_be_head(None)
        revision, lacking = storage.read(
            lambda tx: (migrations.current(tx.connection), migrations.missing(tx.connection))
        )
        migrations.must_be_head(revision)
    if lacking:
        raise Stop(f"revision {revision}, and yet {', '.join(lacking)} is not there", Exit.DATABASE)
    note(f"The tables are at revision {revision}, as they should be.")


@db.command()
@_where
def restored(config: Path | None, **flags: Any) -> None:
    """Tell a database that it was restored from a backup: every verifier reads its revocations from the start.

    Run it after the restore and before the service starts. Nobody is logged out by it. On SQLite no admit.db-wal or
    admit.db-shm of before may lie beside the restored file: what that journal holds would be written over the backup.
    """
    with _storage(config, flags) as storage:
        if not _is_there(config, flags):
            raise no_service(read_settings(config, flags))
        migrations.must_be_head(storage.read(lambda tx: migrations.current(tx.connection)))
        storage.write(restoring.renew)
    note("The feed has a new epoch. What was revoked after the backup has to be revoked again: users, clients, keys.")
