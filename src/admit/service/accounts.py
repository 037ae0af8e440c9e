"""Accounts: immutable random ids, names normalized once, and the epoch that cuts a user off."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import RowMapping, insert, select, update

from admit import clock
from admit.errors import ConfigurationError, InvalidRequest, StorageUnavailable
from admit.service import audit, hashes, revocation, throttle
from admit.service.clients import PREFIX
from admit.service.results import User
from admit.service.schema import users
from admit.service.turns import Lane, Line

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.passwords import Passwords
    from admit.service.storage import Storage, Tx

_LONGEST: Final = 255
_INVISIBLE: Final = re.compile(
    "[\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]"
)
"""Letters and marks that nobody sees (Default_Ignorable_Code_Point), and Hangul that is not put together (RFC 8264 9.9, 9.13)."""
_RIGHT_TO_LEFT: Final = frozenset(("R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"))
LINE: Final = Line(Lane.NEW, "")
"""Where new passwords wait to be hashed: together in one line, so that signing up in crowds delays no login."""


class UserStore(Protocol):
    """An application's own user table. Both methods are called from worker threads.

    They are two, so that the service can read the user's epoch in between: a password changed while it is being checked
    then leaves no session behind. After a change call `logout_everywhere`.
    """

    def find(self, name: str) -> str | None:
        """The immutable id of the user of that name; None for nobody, or a user who may not log in.

        Failures are counted by the name as it was typed, but for letter case, width and spaces around it: other spellings
        that find the same user have counts of their own.
        """

    def check(self, sub: str | None, password: str) -> bool:
        """Whether it is that user's password. With None, spend the usual time and answer False: no user probing."""


class BuiltInUsers:
    """The UserStore of the built-in table."""

    def __init__(self, storage: Storage, passwords: Passwords) -> None:
        self._storage, self._passwords = storage, passwords

    def find(self, name: str) -> str | None:
        """The id of the user of that name."""
        normal = normalized(name)
        if normal is None:
            return None
        return self._storage.read(lambda tx: tx.execute(select(users.c.id).where(users.c.name == normal)).scalar())

    def check(self, sub: str | None, password: str) -> bool:
        """Whether it is that user's password."""
        return self.judge(sub, password, decoy="", renew=False)

    def judge(self, sub: str | None, password: str, *, decoy: str, renew: bool) -> bool:
        """Whether it is that user's password; with `renew`, a hash of older parameters is renewed on the way.

        Nobody takes as long as somebody: `decoy`, made of the name, picks the user whose hash is worked through for
        nothing. Where hashes of several schemes were imported, their times are as frequent among those who do not exist.
        """
        query = select(users.c.password_hash).where(users.c.id == sub)
        if sub is None:
            query = select(users.c.password_hash).where(users.c.id >= decoy, users.c.password_hash.is_not(None))
            query = query.order_by(users.c.id).limit(1)
        stored = self._storage.read(lambda tx: tx.execute(query).scalar())
        right = self._passwords.check(stored, password)
        if sub is None or stored is None or not right:
            return False
        if renew and self._passwords.outdated(stored):
            swap = update(users).where(users.c.id == sub, users.c.password_hash == stored)
            # What another system hashed may be no password here; and where the database is busy, the next login renews it.
            with contextlib.suppress(StorageUnavailable, InvalidRequest):
                renewed = self._passwords.hash(password)
                self._storage.write(lambda tx: tx.execute(swap.values(password_hash=renewed)))
        return True


class Users:
    """The users of a service: `service.users`. Where they are an application's own: get, disable and enable only."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def add(self, name: str, password: str | None = None, *, password_hash: str | None = None) -> User:
        """Add a user, with a password, or with the hash that another system made of it (see hashes.py).

        Raises InvalidRequest where the name is taken or cannot be one, the password is easily guessed, or the hash is of no
        known scheme or too expensive to check.
        """
        self._must_be_built_in()
        normal = normalized(name)
        if normal is None:
            raise InvalidRequest("a user name has 1 to 255 characters, no spaces or control characters (RFC 8265 3.3)")
        if (password is None) == (password_hash is None):
            raise InvalidRequest("give a password, or a password_hash, and not both")
        stored = self._hashed(password, normal) if password is not None else hashes.usable(password_hash or "")
        values = {"id": clock.random_id(), "name": normal, "password_hash": stored, "epoch": 0}

        def change(tx: Tx) -> User:
            row = tx.execute(insert(users).returning(*users.c), [values | {"created_at": tx.now}]).mappings().one()
            audit.record(tx, "user.added", sub=row["id"])
            return _read(row)

        return self._core.write(change, taken=InvalidRequest("a user of that name exists"))

    def list(self, after: str = "", limit: int = 100) -> list[User]:
        """Users by id, beginning after one."""
        query = select(users).where(users.c.id > after).order_by(users.c.id).limit(limit)
        return self._core.read(lambda tx: [_read(row) for row in tx.execute(query).mappings()])

    def get(self, sub: str) -> User | None:
        """The user of that id."""
        return self._one(select(users).where(users.c.id == sub)) if possible(sub) else None

    def find(self, name: str) -> User | None:
        """The user of that name, however it is spelled."""
        normal = normalized(name)
        return None if normal is None else self._one(select(users).where(users.c.name == normal))

    def disable(self, sub: str) -> None:
        """Refuse the user from now on, end all sessions, cut off all tokens. Raises InvalidRequest for nobody."""
        self._core.write(lambda tx: raise_epoch(tx, sub, self._core.own_users, "user.disabled", disable=True))

    def enable(self, sub: str) -> None:
        """Let a disabled user log in again; what was cut off stays so. Raises InvalidRequest for nobody."""

        def change(tx: Tx) -> bool:
            on = update(users).where(users.c.id == sub).values(disabled_at=None).returning(users.c.id)
            if tx.execute(on).scalar() is None:
                return False
            audit.record(tx, "user.enabled", sub=sub)
            return True

        if not possible(sub) or not self._core.write(change):
            raise InvalidRequest("there is no user of that id")

    def set_password(self, sub: str, password: str) -> None:
        """Give a user a new password; ends every session, as a thief may hold one. Raises InvalidRequest."""
        self._must_be_built_in()
        user = self.get(sub)
        renewed = self._hashed(password, None if user is None else user.name)

        def change(tx: Tx) -> None:
            tx.execute(update(users).where(users.c.id == sub).values(password_hash=renewed))
            throttle.forgiven(tx, self._core, sub)
            raise_epoch(tx, sub, False, "user.password")

        self._core.write(change)

    def _hashed(self, password: str, name: str | None) -> str:
        self._core.passwords.must_be_good(password, name)
        with self._core.turns.turn(LINE):
            return self._core.passwords.hash(password)

    def _one(self, query: object) -> User | None:
        row = self._core.read(lambda tx: tx.execute(query).mappings().one_or_none())  # type: ignore[call-overload]
        return None if row is None else _read(row)

    def _must_be_built_in(self) -> None:
        if self._core.own_users:
            raise ConfigurationError("users of an own table are changed there")


def raise_epoch(tx: Tx, sub: str, own_users: bool, event: str, *, disable: bool = False) -> None:
    """Cut a user off: no session of a lower epoch refreshes, no access token of a lower epoch passes.

    Login locks the same row in the transaction that inserts its session, so none can slip past. Raises InvalidRequest
    for a subject that is nobody's.
    """
    if not possible(sub):
        raise InvalidRequest("there is no user of that id")
    values = {"epoch": users.c.epoch + 1} | ({"disabled_at": tx.now} if disable else {})
    epoch = tx.execute(update(users).where(users.c.id == sub).values(values).returning(users.c.epoch)).scalar()
    if epoch is None:
        if not own_users:
            raise InvalidRequest("there is no user of that id")
        check_own_id(sub)
        # Not seen here before, and yet perhaps logging in at this moment: that login began with epoch 0.
        epoch = 1
        add_row(tx, sub, epoch, disabled_at=tx.now if disable else None)
    audit.record(tx, event, sub=sub)
    revocation.cut_off(tx, revocation.CutOff("sub", sub, epoch))


def lock(tx: Tx, sub: str) -> int | None:
    """The user's epoch, held until the transaction ends; None without a row."""
    return tx.execute(select(users.c.epoch).where(users.c.id == sub).with_for_update()).scalar()


def name_of(tx: Tx, sub: str) -> str | None:
    """The user's name; None for nobody, and for an application's own user."""
    return tx.execute(select(users.c.name).where(users.c.id == sub)).scalar()


def add_row(tx: Tx, sub: str, epoch: int, disabled_at: int | None = None) -> None:
    """The row that Admit keeps of an application's own user."""
    tx.execute(insert(users), [{"id": sub, "epoch": epoch, "disabled_at": disabled_at, "created_at": tx.now}])


def standing(tx: Tx, sub: str) -> tuple[int, bool]:
    """The user's epoch, and whether it is disabled. (0, False) for one never seen here."""
    row = tx.execute(select(users.c.epoch, users.c.disabled_at).where(users.c.id == sub)).one_or_none()
    return (0, False) if row is None else (row.epoch, row.disabled_at is not None)


def check_own_id(sub: str) -> None:
    """Raise ConfigurationError for an id that an application's table must not give a user."""
    if not possible(sub) or sub.startswith(PREFIX):
        raise ConfigurationError(
            f"a user id has 1 to {_LONGEST} printable characters and does not begin with {PREFIX!r}"
        )


def normalized(name: str) -> str | None:
    """The one spelling of a user name (RFC 8265 3.3, UsernameCaseMapped), or None for what cannot be one."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return None
    wide = ("<wide>", "<narrow>")
    mapped = (
        unicodedata.normalize("NFKC", character) if unicodedata.decomposition(character).startswith(wide) else character
        for character in name
    )
    text = unicodedata.normalize("NFC", "".join(mapped).lower())
    # RFC 8264 4.2: letters, digits, marks, ASCII signs; nothing with a compatibility equivalent, so no two look-alikes
    for character in text:
        category = unicodedata.category(character)
        if not ("!" <= character <= "~" or category[0] == "L" or category in ("Mn", "Mc", "Nd")):
            return None
    if _INVISIBLE.search(text) or not _reads_one_way(text):
        return None
    return text if unicodedata.normalize("NFKC", text) == text and len(text) <= _LONGEST else None


def _reads_one_way(text: str) -> bool:
    """The Bidi Rule (RFC 5893 2), where anything is written from right to left: its parts could else change places."""
    kinds = [unicodedata.bidirectional(character) for character in text]
    if {"R", "AL", "AN"}.isdisjoint(kinds):
        return True
    last = next((kind for kind in reversed(kinds) if kind != "NSM"), "")
    mixed = {"EN", "AN"} <= set(kinds) or not _RIGHT_TO_LEFT.issuperset(kinds)
    return kinds[0] in ("R", "AL") and last in ("R", "AL", "EN", "AN") and not mixed


def possible(sub: str) -> bool:
    """Whether it can be a user's id."""
    return isinstance(sub, str) and 0 < len(sub) <= _LONGEST and sub.isprintable()


def _read(row: RowMapping) -> User:
    names = ("id", "name", "epoch")
    created = row["created_at"] / 1000
    return User(**{name: row[name] for name in names}, disabled=row["disabled_at"] is not None, created_at=created)
