"""What was cut off before its expiry: the entries of a revocation feed, and the set that a verifier asks. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, NamedTuple

from admit.errors import RevokedToken
from admit.tokens.claims import Claims

KINDS: Final = ("jti", "sid", "sub", "client", "kid")
"""A token, a session, a subject (its tokens with a lower epoch), a client, a key."""

FEED_TYP: Final = "revocations+jwt"
_DIGEST: Final = 16  # bytes: 128 bits, so that no token can be made to collide with somebody else's entry


class Entry(NamedTuple):
    """One cut-off."""

    kind: str
    digest: bytes
    below: int | None
    """For a subject: tokens whose epoch is lower, or missing. None: all."""
    expires_at: float | None
    """Seconds since 1970; every token it could mean has expired by then. None: never."""


def digest(kind: str, value: str) -> bytes:
    """The truncated hash by which an entry names what it cuts off: the feed tells nobody who was."""
    return sha256(f"{kind}\0{value}".encode()).digest()[:_DIGEST]


class CutOffs:
    """The entries in force, by kind. One thread adds and expires; any number check."""

    __slots__ = ("_tables",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._tables: dict[str, dict[bytes, Entry]] = {kind: {} for kind in KINDS}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Put an entry into force. It never weakens one that is there."""
        table = self._tables[entry.kind]
        there = table.get(entry.digest)
        table[entry.digest] = entry if there is None else _stricter(there, entry)

    def expire(self, now: float) -> None:
        """Forget what can mean no living token any more."""
        for table in self._tables.values():
            for key in [
                key for key, entry in table.items() if entry.expires_at is not None and entry.expires_at <= now
            ]:
                del table[key]

    def check(self, claims: Claims[Any]) -> None:
        """Raise RevokedToken where an entry means this token."""
        tables = self._tables
        if (table := tables["jti"]) and claims.jti and digest("jti", claims.jti) in table:
            raise RevokedToken("this token was revoked")
        if (table := tables["sid"]) and claims.sid and digest("sid", claims.sid) in table:
            raise RevokedToken("the session of this token has ended")
        if (table := tables["sub"]) and claims.sub:
            entry = table.get(digest("sub", claims.sub))
            if entry is not None and (entry.below is None or claims.epoch is None or claims.epoch < entry.below):
                raise RevokedToken("every token of this subject issued before was cut off")
        if (table := tables["client"]) and claims.client_id and digest("client", claims.client_id) in table:
            raise RevokedToken("the client of this token was cut off")
        if (table := tables["kid"]) and digest("kid", claims.kid) in table:
            raise RevokedToken("the key that signed this token was revoked")

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())


def _stricter(one: Entry, other: Entry) -> Entry:
    below = None if one.below is None or other.below is None else max(one.below, other.below)
    ends = None if one.expires_at is None or other.expires_at is None else max(one.expires_at, other.expires_at)
    return Entry(one.kind, one.digest, below, ends)
