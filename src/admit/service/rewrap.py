"""Secrets at rest, in whatever table: wrapped under the master key in force, and moved to a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import LargeBinary, Text, and_, cast, exists, func, literal, select, update

from admit.keyring.wrapping import MissingMasterKey
from admit.service import audit
from admit.service.schema import keys, secrets, totp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, ColumnElement, Table

    from admit.keyring.wrapping import MasterKeys
    from admit.service.storage import Tx


class Wrapped(NamedTuple):
    """Where secrets of one sort lie. `kind` and `name` are what MasterKeys.wrap was told of a row."""

    table: Table
    kind: ColumnElement[str]
    name: ColumnElement[str]
    column: Column[Any]


WRAPPED: Final = (
    # A table with secrets of another sort has a row here, and all of this file is about them, too.
    Wrapped(secrets, secrets.c.kind, cast(secrets.c.id, Text), secrets.c.wrapped),
    Wrapped(totp, literal("TOTP seed"), totp.c.user_id, totp.c.seed),
    Wrapped(keys, keys.c.use + " key", keys.c.kid, keys.c.private),
)
"""Every column that holds wrapped secrets."""
_LOCK: Final = int.from_bytes(b"admitkey")  # of all of Admit's in one database


def wrap(tx: Tx, master: MasterKeys, kind: str, name: str, secret: bytes) -> bytes:
    """The secret, wrapped under the version that this database is at. Raises MissingMasterKey, WrongMasterKey.

    Not under the newest that this process knows: while processes are given a new master key, one after the other, those
    without it must still read what is written. Whoever changes rows of WRAPPED beside it calls `hold` before, or a rewrap and it
    may wait for each other.
    """
    hold(tx)
    return master.wrap(kind, name, secret, version=_in_force(tx, master) or master.newest)


def hold(tx: Tx) -> None:
    """Let nobody rewrap until the commit, beside others who hold."""
    _lock(tx, func.pg_advisory_xact_lock_shared)


def rewrap(tx: Tx, master: MasterKeys, limit: int) -> int:
    """Wrap up to `limit` secrets anew that lie under an older master key than the newest; answers how many.

    At 0 nothing is under way that lies under an older one: it waits for all who `hold`.
    """
    _lock(tx, func.pg_advisory_xact_lock)
    _in_force(tx, master)
    done = 0
    for row in WRAPPED:
        older = _version(row.column) < literal(master.newest.to_bytes(2), LargeBinary)
        for found in tx.execute(_rows(row).where(older).limit(limit - done)).all():
            kind, name, old, *key = found
            new = master.wrap(kind, name, master.unwrap(kind, name, old))
            same = and_(*(column == value for column, value in zip(row.table.primary_key, key, strict=True)))
            # Only over what was read: a key that stops signing meanwhile does not get its private half back.
            swapped = update(row.table).where(same, row.column == old).values({row.column: new})
            done += tx.execute(swapped).rowcount
    if done:
        audit.record(tx, "keys.rewrapped", detail=f"{done} under master key version {master.newest}")
    return done


def anything(tx: Tx) -> bool:
    """Whether the database holds anything under a master key."""
    return bool(tx.execute(select(exists().where(secrets.c.id > 0))).scalar())


def must_open(tx: Tx, master: MasterKeys) -> None:
    """Raise MissingMasterKey where a secret lies under a master key that was not given: sooner than on its first use."""
    lacking = versions(tx).difference(master.versions)
    if lacking:
        raise MissingMasterKey(min(lacking))


def must_know(tx: Tx, master: MasterKeys) -> None:
    """Raise MissingMasterKey or WrongMasterKey where this database was moved to a key that this process was not given.

    For whoever asks again and again: a look at a few rows, where `must_open` looks at all. `rewrap` moves those first.
    """
    _in_force(tx, master)


def try_each(tx: Tx, master: MasterKeys) -> None:
    """Open one secret of each sort and version. Raises ConfigurationError where it was wrapped under another master key."""
    for row in WRAPPED:
        for version in _versions(tx, row):
            of_it = _rows(row).where(_version(row.column) == version).limit(1)
            for kind, name, wrapped, *_ in tx.execute(of_it):  # none, where somebody has just moved the last one
                master.unwrap(kind, name, wrapped)


def versions(tx: Tx) -> set[int]:
    """The versions of the master key that secrets lie under."""
    return {int.from_bytes(version) for row in WRAPPED for version in _versions(tx, row)}


def _lock(tx: Tx, lock: Any) -> None:
    # Not on a row: whoever waits for a lock of a row alone is passed over by those who share it, for as long as more of them come.
    if tx.connection.dialect.name == "postgresql":  # on SQLite one writes at a time
        tx.execute(select(lock(_LOCK)))


def _in_force(tx: Tx, master: MasterKeys) -> int | None:
    """The version that this database is at; None where it holds no secrets yet.

    It is seen to open: two hosts may have made a version each, of the same number, and what one of them wrapped the other would
    never read. Raises MissingMasterKey, WrongMasterKey.
    """
    held = tx.execute(_rows(WRAPPED[0])).all()
    newest = max(held, key=lambda row: master.version_of(row[2]), default=None)
    if newest is None:
        return None
    kind, name, wrapped, *_ = newest
    master.unwrap(kind, name, wrapped)
    return master.version_of(wrapped)


def _versions(tx: Tx, row: Wrapped) -> Sequence[bytes]:
    return tx.execute(select(_version(row.column)).where(row.column.is_not(None)).distinct()).scalars().all()


def _rows(row: Wrapped) -> Any:
    return select(row.kind, row.name, row.column, *row.table.primary_key).where(row.column.is_not(None))


def _version(column: Column[Any]) -> ColumnElement[bytes]:
    return func.substr(column, 1, 2, type_=LargeBinary)  # big-endian: compared byte by byte, as versions are by number
