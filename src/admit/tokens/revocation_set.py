"""RevocationSet: the entries in force, in eight bytes each, and what has passed them already.

A verifier looks into it for every token, and many processes of a host hold one, so both its time and its size matter.
Each kind of entry is a table of 64 sorted arrays. An entry is one 64-bit number: 40 bits of its hash, and the minute in
which it ends; 6 more bits of the hash choose the array. So 100,000 entries take 0.8 MB.

Two values with the same 46 bits are taken for one. Where 100,000 entries are in force, that refuses one honest session in
700 million (or token, or subject) until the entry ends; it never lets one pass.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from admit.errors import RevokedToken
from admit.jose.encoding import b64url_decode
from admit.tokens.revocation import KINDS, Entry, EntryKind, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.tokens.claims import Claims

_BUCKETS: Final = 64
_MINUTE: Final = 0xFF_FFFF  # the low 24 bits: minutes since 2020, up to 2051
_HASH: Final = ~_MINUTE & 0xFFFF_FFFF_FFFF_FFFF
_BEGIN: Final = 1_577_836_800 // 60  # 2020, in minutes since 1970
_MOST_EPOCH: Final = 0xFFFF_FFFF
_PLACE: Final = Struct(">QB").unpack_from  # of the hash: 64 bits, whose low 24 make room for the minute, and 8
_PASSED: Final = "_passed"
_REMEMBERED: Final = 256  # tokens, about 160 bytes each
_EMPTY: Final[array[int]] = array("Q")
_NO_EPOCHS: Final[array[int]] = array("I")

Bucket = tuple["array[int]", "array[int]"]
"""Entries in order, and for subjects their epochs beside them. Replaced, never changed: a reader holds one as a whole."""


class RevocationSet:
    """The entries in force. `check` may run in any thread while one other applies and purges.

    It implements Revocations, and never raises RevocationsUnavailable: how old it is, its owner must watch.
    """

    __slots__ = ("_clients", "_jtis", "_kids", "_passed", "_sids", "_subs", "_tables")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._tables: dict[EntryKind, _Table] = {kind: _Table() for kind in KINDS}
        self._jtis, self._sids, self._subs = self._tables["jti"], self._tables["sid"], self._tables["sub"]
        self._clients, self._kids = self._tables["client"], self._tables["kid"]
        self._passed: dict[object, int] = {}
        self.apply(entries)

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken where the token, its session, subject, client or key was cut off."""
        # Entries are only ever added: what passed these very entries passes them again, and hashing is most of the price.
        # `passed` is taken before the entries are looked at, and replaced after they change: another thread's entry is
        # never missed.
        passed, known = self._passed, claims.__dict__
        if known.get(_PASSED) is passed:
            return
        registered = claims.registered
        jti, sid, sub, client_id = registered.jti, registered.sid, registered.sub, registered.client_id
        seen = hash((sid, sub, registered.epoch, client_id, claims.kid))  # shorter than they are; no two have one jti
        if passed.get(jti) == seen:
            return
        if self._jtis.size and jti and self._jtis.find(digest("jti", jti)) is not None:
            raise RevokedToken("this token was revoked")
        if self._sids.size and sid and self._sids.find(digest("sid", sid)) is not None:
            raise RevokedToken("the token's session has ended")
        if self._subs.size and sub:
            below = self._subs.find(digest("sub", sub))
            # A token of that subject without an epoch cannot show that it came after the cut.
            if below is not None and (claims.epoch is None or claims.epoch < below or below == _MOST_EPOCH):
                raise RevokedToken("the token's subject was cut off after it was issued")
        if self._clients.size and client_id and self._clients.find(digest("client", client_id)) is not None:
            raise RevokedToken("the token's client was cut off")
        if self._kids.size and self._kids.find(digest("kid", claims.kid)) is not None:
            raise RevokedToken("the key that signed the token was revoked")
        if len(passed) >= _REMEMBERED:
            passed.clear()
        passed[jti] = seen
        known[_PASSED] = passed

    def apply(self, entries: Iterable[Entry]) -> None:
        """Add entries; the later expiry and the higher epoch win."""
        try:
            for entry in entries:
                self._tables[entry.kind].add(entry)
        finally:
            before, self._passed = self._passed, {}
            before.clear()  # claims in a cache may hold it for long

    def purge(self, now: float) -> None:
        """Forget, within two minutes, what has expired: every token it could cut off has, too."""
        minute = min(max(int(now) // 60 - _BEGIN, 0), _MINUTE)  # what never ends is not before it
        for table in self._tables.values():
            table.purge(minute)

    def __len__(self) -> int:
        return sum(table.size for table in self._tables.values())

    def __repr__(self) -> str:
        return f"<RevocationSet of {len(self)}>"


class _Table:
    """The entries of one kind."""

    __slots__ = ("buckets", "size")

    def __init__(self) -> None:
        self.buckets: list[Bucket] = [(_EMPTY, _NO_EPOCHS)] * _BUCKETS
        self.size = 0

    def find(self, key: bytes) -> int | None:
        """The epoch of an entry, 0 for those that have none; None where there is no entry."""
        place, bucket = _PLACE(key)
        entries, epochs = self.buckets[bucket % _BUCKETS]
        index = bisect_left(entries, place & _HASH)
        if index == len(entries) or (entries[index] ^ place) & _HASH:
            return None
        return epochs[index] if epochs else 0

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        place, bucket = _PLACE(b64url_decode(entry.digest.encode()))
        place, bucket = place & _HASH, bucket % _BUCKETS
        minute, epoch = _minute(entry.exp), min(entry.epoch or 0, _MOST_EPOCH)
        entries, epochs = self.buckets[bucket]
        index = after = bisect_left(entries, place)
        if index < len(entries) and entries[index] & _HASH == place:
            after += 1
            minute = max(minute, entries[index] & _MINUTE)
            epoch = max(epoch, epochs[index] if epochs else 0)
        else:
            self.size += 1
        if entry.kind == "sub":
            epochs = _spliced(epochs, index, epoch, after)
        self.buckets[bucket] = _spliced(entries, index, place | minute, after), epochs

    def purge(self, now: int) -> None:
        """Remove what ended before the minute `now`."""
        for bucket, (entries, epochs) in enumerate(self.buckets):
            alive = [index for index, entry in enumerate(entries) if entry & _MINUTE >= now]
            if len(alive) < len(entries):
                self.size -= len(entries) - len(alive)
                self.buckets[bucket] = (
                    array("Q", [entries[index] for index in alive]),
                    array("I", [epochs[index] for index in alive]) if epochs else epochs,
                )


def _spliced(numbers: array[int], index: int, number: int, after: int) -> array[int]:
    """A copy with the number in place of those from `index` to `after`; one that is inserted into would take more room."""
    return numbers[:index] + array(numbers.typecode, (number,)) + numbers[after:]


def _minute(exp: int | None) -> int:
    """The last minute in which an entry counts, rounded up; whatever is too far away, or None, never ends."""
    return _MINUTE if exp is None else min(max(exp // 60 + 1 - _BEGIN, 0), _MINUTE)
