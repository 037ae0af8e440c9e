"""RevocationSet: the entries in force, in six bytes each.

A verifier looks into it for every token, and many processes of a host hold one, so both its time and its size matter. Of an entry
it holds a checksum of 32 bits, 12 of its hash, and the minute in which it ends; 100,000 take 0.6 MB. In front of the tables lies
a map of two million bits, two of one byte set for each entry by its checksum: beside so many, 49 honest tokens in 50 need no
further look, and only one in 40,000 is hashed.

Two values with the same 44 bits are taken for one. Where 100,000 entries are in force, that refuses one honest session in
170 million (or token) until the entry ends; it never lets one pass. Of one value of two kinds, such as a session's id
that is also its token's, the checksum is the same, and the 12 bits tell.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final, final
from zlib import crc32

from msgspec.structs import force_setattr

from admit.errors import RevokedToken
from admit.jose.encoding import b64url_decode
from admit.tokens.revocation import KINDS, Entry
from admit.tokens.revocation_table import MOST_EPOCH, NEVER, RevocationTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from admit.tokens.claims import Claims
    from admit.tokens.revocation import EntryKind

_MAP: Final = 1 << 18  # bytes
PAIRS: Final = (*(1 << one | 1 << other for one in range(8) for other in range(one)), 3, 5, 6, 9)
"""The two bits of a byte that a checksum marks, by its last five bits."""
_AT_ONCE: Final = 50  # entries of a page: a merge takes time, and what is to be merged memory
_SPAN: Final = 1 << 14  # minutes, 11 days: what is called minute 0 is at least one span back, and at most two

Glance = tuple[float, float, bytearray, "Callable[[EntryKind, str, int], object]", set[str] | None]
"""What shows that a token's session and key were not cut off: since and until when, in seconds since 1970, the map of bits, who
looks for a session's entry, and the kids that passed; None where every key passes."""
NO_GLANCE: Final[Glance] = inf, -inf, bytearray(), lambda _kind, _value, _check: 0, None


@final
class RevocationSet:
    """The entries in force. `check` may run in any thread while one other applies and purges.

    It implements Revocations, and never raises RevocationsUnavailable: how old it is, its owner must watch.
    """

    __slots__ = (
        "_begin",
        "_clients",
        "_ends",
        "_further",
        "_jtis",
        "_kids",
        "_map",
        "_others",
        "_passed",
        "_sids",
        "_stale",
        "_subjects",
        "_subs",
        "_window",
        "glance",
    )

    def __init__(self, entries: Iterable[Entry] = (), *, stale: Callable[[], object] | None = None) -> None:
        """`stale` is called where `judge` is given a moment that `believe` did not name: it raises, or lets the entries judge.

        Without one, nobody watches how old they are, and they judge at any time.
        """
        self._map = bytearray(_MAP)
        self._others, self._subjects = RevocationTable(), RevocationTable(epochs=True)
        self._ends = dict.fromkeys(KINDS, -1)  # the minute in which the last entry of each kind ends
        self._begin: int | None = None  # the minute that is called 0 in the tables, since 1970
        self._stale = stale or (lambda: None)
        self._window = (inf, -inf) if stale else (-inf, inf)
        self.glance = NO_GLANCE
        """For a verifier that looks for itself: a token passes whose key did, and whose session has no entry, in that time."""
        self._passed: set[str] | None = None  # the kids that did, where keys were cut off; None while entries change
        self._look_for()
        self.apply(entries)

    def believe(self, since: float, until: float) -> None:
        """Until when, in seconds since 1970, tokens may be judged without a look at how old the entries are."""
        self._window = since, until
        self._show()

    def judge(self, claims: Claims[Any], now: float, kept: bool, /) -> None:
        """`check`, and how old the entries are, by `now`. Kept claims that passed these very entries are not looked at again."""
        since, until = self._window
        if not since <= now < until:
            self._stale()
        # `passed` is taken before the entries are looked at, and taken away before they change: another thread's entry is never
        # missed.
        passed = self._passed
        if kept and passed is not None and getattr(claims, "_passed", None) is passed:
            return
        self.check(claims)
        if passed is not None and self._kids:
            passed.add(claims.kid)  # of a key that verifiers have: there are few
        if kept:
            force_setattr(claims, "_passed", passed)

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken where the token, its session, subject, client or key was cut off, however old the entries are."""
        # Most tokens are in no table: so the look into the map is written out for each kind. Strict JSON has no lone surrogates,
        # hence `encode` does not fail.
        registered, marks, others = claims.registered, self._map, self._others
        if self._sids and (value := registered.sid):
            check = crc32(value.encode())
            if marks[check >> 14] & (two := PAIRS[check & 31]) == two and others.epoch("sid", value, check) is not None:
                raise RevokedToken("the token's session has ended")
        if self._kids and self.cuts_off_key(claims.kid):
            raise RevokedToken("the key that signed the token was revoked")
        if not self._further:  # than sessions and keys, the usual case
            return
        if self._jtis and (value := registered.jti):
            check = crc32(value.encode())
            if marks[check >> 14] & (two := PAIRS[check & 31]) == two and others.epoch("jti", value, check) is not None:
                raise RevokedToken("this token was revoked")
        if self._subs and (value := registered.sub):
            check = crc32(value.encode())
            if marks[check >> 14] & (two := PAIRS[check & 31]) == two:
                below = self._subjects.epoch("sub", value, check)
                # A token of that subject without an epoch cannot show that it came after the cut.
                if below is not None and (claims.epoch is None or claims.epoch < below or below == MOST_EPOCH):
                    raise RevokedToken("the token's subject was cut off after it was issued")
        if self._clients and (value := registered.client_id):
            check = crc32(value.encode())
            if (
                marks[check >> 14] & (two := PAIRS[check & 31]) == two
                and others.epoch("client", value, check) is not None
            ):
                raise RevokedToken("the token's client was cut off")

    def cuts_off_key(self, kid: str) -> bool:
        """Whether the key of that kid was cut off."""
        check = crc32(kid.encode("utf-8", "surrogatepass"))
        two = PAIRS[check & 31]
        return self._map[check >> 14] & two == two and self._others.epoch("kid", kid, check) is not None

    def apply(self, entries: Iterable[Entry]) -> None:
        """Add entries; the later expiry and the higher epoch win."""
        further = iter(entries)
        while batch := list(islice(further, _AT_ONCE)):
            self._passed, self.glance = None, NO_GLANCE  # in this order: others may show what passed at any moment
            self._add(batch)
        if self._passed is None:  # by these entries, or by some that were interrupted
            self._passed = set()
            self._show()

    def purge(self, now: float) -> None:
        """Forget, within two minutes, what has expired: every token it could cut off has, too."""
        if self._begin is None:
            return
        minute = min(max(int(now) // 60 - self._begin, 0), NEVER)
        later = minute - _SPAN if minute > 2 * _SPAN else 0
        self._begin += later  # at first: where a table cannot be made anew, its entries end too late, not too early
        if self._others.purge(minute, later) + self._subjects.purge(minute, later):
            marks = bytearray(_MAP)
            for table in (self._others, self._subjects):
                for check in table.checksums():
                    marks[check >> 14] |= PAIRS[check & 31]
            self._map[:] = marks  # in one step: no reader sees a mark missing
        for kind, ends in self._ends.items():
            self._ends[kind] = -1 if ends < minute else ends - later if ends < NEVER else NEVER
        self._look_for()
        self._show()

    def _add(self, entries: list[Entry]) -> None:
        others, subjects = list[tuple[bytes, int, int]](), list[tuple[bytes, int, int]]()
        try:
            for entry in entries:
                hashed, minute = b64url_decode(entry.digest.encode()), self._minute(entry.exp)
                check = int.from_bytes(hashed[:4])
                self._map[check >> 14] |= PAIRS[check & 31]
                self._ends[entry.kind] = max(self._ends[entry.kind], minute)
                held = subjects if entry.kind == "sub" else others
                held.append((hashed, minute, min(entry.epoch or 0, MOST_EPOCH)))
        finally:
            self._look_for()
            self._others.add(others)
            self._subjects.add(subjects)

    def _minute(self, exp: int | None) -> int:
        """The last minute in which an entry counts, rounded up; whatever is too far away, or None, never ends."""
        if exp is None:
            return NEVER
        if self._begin is None:
            self._begin = exp // 60 - _SPAN
        return min(max(exp // 60 + 1 - self._begin, 0), NEVER)

    def _look_for(self) -> None:
        """Let `check` look for the kinds of which there are entries."""
        self._jtis, self._sids, self._subs, self._clients, self._kids = (self._ends[kind] >= 0 for kind in KINDS)
        self._further = self._jtis or self._subs or self._clients

    def _show(self) -> None:
        """Let verifiers look for themselves, while there are entries of sessions and keys alone."""
        passed = self._passed
        shown = (*self._window, self._map, self._others.epoch, passed if self._kids else None)
        self.glance = NO_GLANCE if self._further or passed is None else shown
        if passed is not self._passed:  # another thread's entries came, since the lines above
            self.glance = NO_GLANCE

    def __len__(self) -> int:
        return len(self._others) + len(self._subjects)

    def __repr__(self) -> str:
        return f"<RevocationSet of {len(self)}>"
