"""RevocationSet: the entries in force, in eight bytes each.

A verifier looks into it for every token, and many processes of a host hold one, so both its time and its size matter.
Each kind of entry is a table of 64 sorted arrays. An entry is one 64-bit number: a checksum of 32 bits, 6 of which choose
the array, 14 bits of its hash, and the minute in which it ends. So 100,000 entries take 0.8 MB. In front of all tables lies
a map of a million bits, one set for each entry by its checksum: most honest tokens need no further look, and only one in
40,000 is hashed.

Two values with the same 46 bits are taken for one. Where 100,000 entries are in force, that refuses one honest session in
700 million (or token) until the entry ends; it never lets one pass. The names of subjects may be somebody's choice, and
checksums can be chosen: of subjects 32 bits more are held, of their whole digest under this process's own secret (PEP 456).
So nobody finds one that cuts off another short of 64 bits of SHA-256.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from admit.errors import RevokedToken
from admit.jose.encoding import b64url_decode
from admit.tokens.revocation import KINDS, SEEDS, Entry, EntryKind, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admit.tokens.claims import Claims

_BUCKETS: Final = 64
_MINUTE: Final = 0xFF_FFFF  # the low 24 bits: minutes since 2020, up to 2051
_HASH: Final = ~_MINUTE & 0xFFFF_FFFF_FFFF_FFFF
_CHECKSUM: Final = 38  # where its 26 bits begin
_MAP: Final = 1 << 17  # bytes
_BEGIN: Final = 1_577_836_800 // 60  # 2020, in minutes since 1970
_MOST_EPOCH: Final = 0xFFFF_FFFF
_MORE: Final = 0xFFFF_FFFF
_SPLIT: Final = Struct(">IH").unpack_from  # a digest: the checksum, and 14 bits of the hash of 16
_PASSED: Final = "_passed"
_EMPTY: Final[array[int]] = array("Q")

Bucket = tuple["array[int]", "array[int]"]
"""Entries in order, and for subjects, beside them, 32 bits of their digest and 32 of the epoch. Replaced, never changed: a reader
holds one as a whole."""


class RevocationSet:
    """The entries in force. `check` may run in any thread while one other applies and purges.

    It implements Revocations, and never raises RevocationsUnavailable: how old it is, its owner must watch.
    """

    __slots__ = ("_clients", "_jtis", "_kids", "_map", "_passed", "_sids", "_subs", "_tables")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._map = bytearray(_MAP)
        self._tables: dict[EntryKind, _Table] = {kind: _Table(kind, self._map) for kind in KINDS}
        self._jtis, self._sids, self._subs = self._tables["jti"], self._tables["sid"], self._tables["sub"]
        self._clients, self._kids = self._tables["client"], self._tables["kid"]
        self._passed = object()
        self.apply(entries)

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken where the token, its session, subject, client or key was cut off."""
        # Entries are only ever added: claims out of a cache that passed these very entries pass them again.
        # `passed` is taken before the entries are looked at, and replaced after they change: another thread's entry is
        # never missed.
        passed, known = self._passed, claims.__dict__
        if known.get(_PASSED) is passed:
            return
        registered = claims.registered
        if self._jtis.size and registered.jti and self._jtis.find(registered.jti) is not None:
            raise RevokedToken("this token was revoked")
        if self._sids.size and registered.sid and self._sids.find(registered.sid) is not None:
            raise RevokedToken("the token's session has ended")
        if self._subs.size and registered.sub:
            below = self._subs.find(registered.sub)
            # A token of that subject without an epoch cannot show that it came after the cut.
            if below is not None and (claims.epoch is None or claims.epoch < below or below == _MOST_EPOCH):
                raise RevokedToken("the token's subject was cut off after it was issued")
        if self._clients.size and registered.client_id and self._clients.find(registered.client_id) is not None:
            raise RevokedToken("the token's client was cut off")
        if self._kids.size and self._kids.find(claims.kid) is not None:
            raise RevokedToken("the key that signed the token was revoked")
        known[_PASSED] = passed

    def apply(self, entries: Iterable[Entry]) -> None:
        """Add entries; the later expiry and the higher epoch win."""
        try:
            for entry in entries:
                self._tables[entry.kind].add(entry)
        finally:
            self._passed = object()

    def purge(self, now: float) -> None:
        """Forget, within two minutes, what has expired: every token it could cut off has, too."""
        minute = min(max(int(now) // 60 - _BEGIN, 0), _MINUTE)  # what never ends is not before it
        if sum(table.purge(minute) for table in self._tables.values()):
            marks = bytearray(_MAP)
            for table in self._tables.values():
                for check in table.checksums():
                    marks[check >> 15] |= 1 << (check & 7)
            self._map[:] = marks  # in one step: no reader sees a mark missing

    def __len__(self) -> int:
        return sum(table.size for table in self._tables.values())

    def __repr__(self) -> str:
        return f"<RevocationSet of {len(self)}>"


class _Table:
    """The entries of one kind."""

    __slots__ = ("_kind", "_map", "_seed", "buckets", "size")

    def __init__(self, kind: EntryKind, marks: bytearray) -> None:
        self._kind: EntryKind = kind
        self._seed, self._map = SEEDS[kind], marks
        self.buckets: list[Bucket] = [(_EMPTY, _EMPTY)] * _BUCKETS
        self.size = 0

    def find(self, value: str) -> int | None:
        """The epoch of the value's entry, 0 for those that have none; None where there is no entry."""
        check = crc32(value.encode(), self._seed)  # strict JSON has no lone surrogates
        if not self._map[check >> 15] >> (check & 7) & 1:
            return None
        bucket = self.buckets[check % _BUCKETS]
        entries = bucket[0]
        index = bisect_left(entries, check >> 6 << _CHECKSUM)
        if index == len(entries) or entries[index] >> _CHECKSUM != check >> 6:
            return None
        _, place, more = _placed(digest(self._kind, value))
        found = _index(bucket, place, more)
        return None if found is None else bucket[1][found] & _MOST_EPOCH if bucket[1] else 0

    def checksums(self) -> Iterator[int]:
        """Of all entries."""
        for bucket, (entries, _) in enumerate(self.buckets):
            for entry in entries:
                yield entry >> _CHECKSUM << 6 | bucket

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        number, place, more = _placed(b64url_decode(entry.digest.encode()))
        check = place >> _CHECKSUM << 6 | number
        minute, epoch = _minute(entry.exp), min(entry.epoch or 0, _MOST_EPOCH)
        entries, epochs = bucket = self.buckets[number]
        found = _index(bucket, place, more)
        index = after = bisect_left(entries, place) if found is None else found
        if found is None:
            self.size += 1
        else:
            after += 1
            minute = max(minute, entries[index] & _MINUTE)
            epoch = max(epoch, epochs[index] & _MOST_EPOCH if epochs else 0)
        if self._kind == "sub":
            epochs = _spliced(epochs, index, more << 32 | epoch, after)
        self.buckets[number] = _spliced(entries, index, place | minute, after), epochs
        self._map[check >> 15] |= 1 << (check & 7)

    def purge(self, now: int) -> bool:
        """Remove what ended before the minute `now`; whether there was any."""
        before = self.size
        for bucket, (entries, epochs) in enumerate(self.buckets):
            alive = [index for index, entry in enumerate(entries) if entry & _MINUTE >= now]
            if len(alive) < len(entries):
                self.size -= len(entries) - len(alive)
                self.buckets[bucket] = (
                    array("Q", [entries[index] for index in alive]),
                    array("Q", [epochs[index] for index in alive]) if epochs else epochs,
                )
        return self.size < before


def _placed(hashed: bytes) -> tuple[int, int, int]:
    """A digest's bucket, its place in there with the minute left open, and 32 bits that stand for all of it in this process."""
    check, upper = _SPLIT(hashed)
    return check % _BUCKETS, check >> 6 << _CHECKSUM | upper >> 2 << 24, hash(hashed) & _MORE


def _index(bucket: Bucket, place: int, more: int) -> int | None:
    """Where the entry of that place stands."""
    entries, epochs = bucket
    index = bisect_left(entries, place)
    while index < len(entries) and not (entries[index] ^ place) & _HASH:
        if not epochs or epochs[index] >> 32 == more:
            return index
        index += 1
    return None


def _spliced(numbers: array[int], index: int, number: int, after: int) -> array[int]:
    """A copy with the number in place of those from `index` to `after`; one that is inserted into would take more room."""
    return numbers[:index] + array(numbers.typecode, (number,)) + numbers[after:]


def _minute(exp: int | None) -> int:
    """The last minute in which an entry counts, rounded up; whatever is too far away, or None, never ends."""
    return _MINUTE if exp is None else min(max(exp // 60 + 1 - _BEGIN, 0), _MINUTE)
