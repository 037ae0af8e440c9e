"""RevocationSet: the entries in force, in eight bytes each.

A verifier looks into it for every token, and many processes of a host hold one, so both its time and its size matter. An entry is
one 64-bit number: a checksum of 32 bits, 16 of its hash, and the minute in which it ends; 100,000 take 0.8 MB. In front of the
tables lies a map of a million bits, one set for each entry by its checksum: most honest tokens need no further look, and only one
in 40,000 is hashed.

Two values with the same 48 bits are taken for one. Where 100,000 entries are in force, that refuses one honest session in
2,800 million (or token) until the entry ends; it never lets one pass.
"""

from __future__ import annotations

from itertools import islice
from sys import float_info
from typing import TYPE_CHECKING, Any, Final, final
from zlib import crc32

from msgspec.structs import force_setattr

from admit.errors import RevokedToken
from admit.jose.encoding import b64url_decode
from admit.tokens.revocation import KINDS, SEEDS, Entry
from admit.tokens.revocation_table import MOST_EPOCH, NEVER, RevocationTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from admit.tokens.claims import Claims

_MAP: Final = 1 << 17  # bytes
_AT_ONCE: Final = 100  # entries of a page: a merge takes time, and what is to be merged memory
_SPAN: Final = 1 << 14  # minutes, 11 days: what is called minute 0 is at least one span back, and at most two
_JTI, _SID, _SUB, _CLIENT, _KID = (SEEDS[kind] for kind in KINDS)


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
        "_since",
        "_stale",
        "_subjects",
        "_subs",
        "_until",
    )

    def __init__(self, entries: Iterable[Entry] = (), *, stale: Callable[[], object] | None = None) -> None:
        """`stale` is called where `judge` is given a moment that `believe` did not name: it raises, or lets the entries judge."""
        self._map = bytearray(_MAP)
        self._others, self._subjects = RevocationTable(), RevocationTable(epochs=True)
        self._ends = dict.fromkeys(KINDS, -1)  # the minute in which the last entry of each kind ends
        self._begin: int | None = None  # the minute that is called 0 in the tables, since 1970
        self._stale = stale
        self.believe(float("-inf"), -float_info.max)  # no moment that a clock can tell
        self.apply(entries)

    def believe(self, since: float, until: float) -> None:
        """Until when, in seconds since 1970, tokens may be judged without a look at how old the entries are."""
        self._until, self._since = until, since  # in this order: another thread's `check` finds `since` in between

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken where the token, its session, subject, client or key was cut off, however old the entries are."""
        self.judge(claims, self._since, False)

    def judge(self, claims: Claims[Any], now: float, kept: bool, /) -> None:
        """`check`, and how old the entries are, by `now`. Kept claims that passed these very entries are not looked at again."""
        # Every token comes along here, and most are in no table: so it is all in one call, and the look into the map is
        # written out for each kind. Strict JSON has no lone surrogates, hence `encode` does not fail.
        if not self._since <= now < self._until and self._stale is not None:
            self._stale()
        if kept:
            # `passed` is taken before the entries are looked at, and replaced after they change: another thread's entry
            # is never missed.
            passed = self._passed
            if getattr(claims, "_passed", None) is not passed:
                self.check(claims)
                force_setattr(claims, "_passed", passed)
            return
        if self._sids and (value := claims.registered.sid):
            check = crc32(value.encode(), _SID)
            if (bits := self._map[check >> 15]) and bits >> (check & 7) & 1 and self._others.holds("sid", value, check):
                raise RevokedToken("the token's session has ended")
        if not self._further:  # than sessions, the usual case
            return
        registered, marks, others = claims.registered, self._map, self._others
        if self._jtis and (value := registered.jti):
            check = crc32(value.encode(), _JTI)
            if (bits := marks[check >> 15]) and bits >> (check & 7) & 1 and others.holds("jti", value, check):
                raise RevokedToken("this token was revoked")
        if self._subs and (value := registered.sub):
            check = crc32(value.encode(), _SUB)
            if (bits := marks[check >> 15]) and bits >> (check & 7) & 1:
                below = self._subjects.epoch("sub", value, check)
                # A token of that subject without an epoch cannot show that it came after the cut.
                if below is not None and (claims.epoch is None or claims.epoch < below or below == MOST_EPOCH):
                    raise RevokedToken("the token's subject was cut off after it was issued")
        if self._clients and (value := registered.client_id):
            check = crc32(value.encode(), _CLIENT)
            if (bits := marks[check >> 15]) and bits >> (check & 7) & 1 and others.holds("client", value, check):
                raise RevokedToken("the token's client was cut off")
        if self._kids and self.cuts_off_key(claims.kid):
            raise RevokedToken("the key that signed the token was revoked")

    def cuts_off_key(self, kid: str) -> bool:
        """Whether the key of that kid was cut off."""
        check = crc32(kid.encode("utf-8", "surrogatepass"), _KID)
        return bool(self._map[check >> 15] >> (check & 7) & 1) and self._others.holds("kid", kid, check)

    def apply(self, entries: Iterable[Entry]) -> None:
        """Add entries; the later expiry and the higher epoch win."""
        further = iter(entries)
        try:
            while batch := list(islice(further, _AT_ONCE)):
                self._add(batch)
        finally:
            self._look_for()
            self._passed = object()

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
                    marks[check >> 15] |= 1 << (check & 7)
            self._map[:] = marks  # in one step: no reader sees a mark missing
        for kind, ends in self._ends.items():
            self._ends[kind] = -1 if ends < minute else ends - later if ends < NEVER else NEVER
        self._look_for()

    def _add(self, entries: list[Entry]) -> None:
        others, subjects = list[tuple[bytes, int, int]](), list[tuple[bytes, int, int]]()
        try:
            for entry in entries:
                hashed, minute = b64url_decode(entry.digest.encode()), self._minute(entry.exp)
                held = subjects if entry.kind == "sub" else others
                held.append((hashed, minute, min(entry.epoch or 0, MOST_EPOCH)))
                check = int.from_bytes(hashed[:4])
                self._map[check >> 15] |= 1 << (check & 7)
                self._ends[entry.kind] = max(self._ends[entry.kind], minute)
        finally:
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
        self._further = self._jtis or self._subs or self._clients or self._kids

    def __len__(self) -> int:
        return len(self._others) + len(self._subjects)

    def __repr__(self) -> str:
        return f"<RevocationSet of {len(self)}>"
