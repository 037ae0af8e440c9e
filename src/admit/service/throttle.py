"""Throttle: what wrong passwords cost whoever sends them, and nobody else.

Failures are counted before the password is looked at, and given back where it was right: guesses that run in parallel
cannot be more than the budget. Three counts, in rows that expire, whose ids are keyed hashes:

| count | what the next try waits for |
|---|---|
| user and address | twice as long after each failure |
| address | the same, shared by all users who never logged in from there |
| user | nothing where the user logged in from that address before; any other waits first, once it is under attack |

So who attacks a user slows himself, and every address that the user never came from: there each newcomer serves a wait of
its own, which nobody else can use up. No number of failures shuts a user out.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from sqlalchemy import case, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from admit.errors import TooManyRequests
from admit.jose.encoding import b64url_encode
from admit.service import audit
from admit.service.schema import throttle as table
from admit.service.session_policy import milliseconds
from admit.service.turns import Lane, Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.service.core import Core
    from admit.service.login_policy import LoginPolicy
    from admit.service.storage import Tx

_FIRST: Final = 1000  # milliseconds of the first wait
_NEWCOMER: Final = (
    30_000  # the first wait of an address that is new to a user under attack: long for many, short for one
)
_REMEMBERED: Final = milliseconds(timedelta(hours=1))  # failures that led to no wait
_LONG_REMEMBERED: Final = milliseconds(timedelta(days=1))  # those that did
# Whoever guesses a second factor has the password, and months: one code in 333,000 is good, and a try a day is 1 in 850 a year.
_SECOND_WAIT: Final = milliseconds(timedelta(days=1))
_SECOND_REMEMBERED: Final = milliseconds(timedelta(days=30))
_OVER: Final = 1  # when the next may be tried where a wait was given back
_RENEWED: Final = milliseconds(timedelta(days=1))  # a known address is written again after that
_DOUBLINGS: Final = 40
_SLIPS: Final = 2  # failures that anybody may have, before whoever comes next stands in line with attackers
Place = Literal["login", "home", "password", "enrollment", "change"]
"""Where a second factor is asked for, and tries are counted; `home`: at a login from where the user logged in before. Whoever
guesses elsewhere delays neither the user's logins from there, nor a change of the password."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Milliseconds to wait after so many failures: none below `free`, then `first`, doubled up to `longest`."""

    free: int
    first: int
    longest: int

    def wait(self, failures: int) -> int:
        """The wait before the next try."""
        beyond = failures - self.free
        return 0 if beyond < 0 else min(self.longest, self.first << min(beyond, _DOUBLINGS))


class Rules(NamedTuple):
    """One for each count."""

    pair: Rule
    address: Rule
    user: Rule
    second: Rule
    """Second factors that were wrong after a right password: counted for the user alone, until the password changes."""


def rules(policy: LoginPolicy) -> Rules:
    """The rules of a policy."""
    longest = milliseconds(policy.longest_wait)
    return Rules(
        pair=Rule(policy.failures_per_user, _FIRST, longest),
        address=Rule(policy.failures_per_address, _FIRST, longest),
        user=Rule(policy.failures_everywhere, min(_NEWCOMER, longest), longest),
        second=Rule(policy.failures_per_user, _FIRST, max(longest, _SECOND_WAIT)),
    )


class Count(NamedTuple):
    """A row; all zeros where there is none. `next_at` is 0 where the failures led to no wait."""

    failures: int = 0
    next_at: int = 0
    expires_at: int = 0

    @property
    def waited(self) -> bool:
        """Whether the failures led to a wait, which may be over."""
        return self.next_at > 0


class Counts(NamedTuple):
    """What is held against one attempt. `known`: the user logged in from that address before."""

    pair: Count
    address: Count
    user: Count
    known: bool


def wait(counts: Counts, now: int, by: Rules) -> int:
    """Milliseconds until it may be tried; 0: now."""
    until = counts.pair.next_at
    if not counts.known:
        until = max(until, counts.address.next_at)
        if not counts.pair.waited:
            until = max(until, now + by.user.wait(counts.user.failures))
    return max(0, min(until - now, by.pair.longest))


def failed(counts: Counts, now: int, by: Rules) -> dict[str, Count]:
    """The counts after one more failure. A known address leaves the others' counts alone."""
    pair, address, user = (each.failures + 1 for each in counts[:3])
    if counts.known:
        return {"pair": _count(pair, by.pair.wait(pair), now)}
    return {
        "pair": _count(pair, max(by.pair.wait(pair), by.user.wait(user)), now),
        "address": _count(address, by.address.wait(address), now),
        "user": _count(user, 0, now, long=by.user.wait(user) > 0),
    }


def _count(failures: int, delay: int, now: int, *, long: bool = False) -> Count:
    kept = _LONG_REMEMBERED if delay or long else _REMEMBERED
    return Count(failures, now + delay if delay else 0, now + delay + kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One login: its rows, and what it wrote into them when it was counted."""

    ids: dict[str, str]
    known: Count
    address: str
    marked: bool
    """Whether several failures are held against the address, or the user from anywhere."""
    written: dict[str, Count]

    @property
    def place(self) -> Place:
        """Where the login's second factor is counted."""
        return "home" if self.known.expires_at else "login"

    @property
    def line(self) -> Line:
        """Where it waits for its turn: users at their known places one after the other, the rest by address."""
        if self.known.expires_at:
            return Line(Lane.KNOWN, self.ids["user"])
        return Line(Lane.MARKED if self.marked else Lane.NEW, network(self.address))


def admitted(core: Core, account: str, address: str) -> Attempt:
    """An attempt that may be made now, not counted yet. Raises TooManyRequests with the wait.

    account: what is to be guessed, whether it exists or not. address: where the caller is; "" counts for nobody else.
    """
    attempt, counts, now = _met(core, account, address)
    left = wait(counts, now, core.rules)
    if left:
        longest = core.rules.pair.longest
        if max(counts.pair.next_at, counts.address.next_at) > now + longest:
            core.write(lambda tx: _shorten(tx, attempt.ids.values(), longest))
        if not counts.pair.waited and core.rules.user.wait(counts.user.failures):  # it begins to serve that wait
            # Not kept for longer than what led to no wait: it costs whoever has many addresses no hash.
            served = Count(counts.pair.failures, now + left, now + left + _REMEMBERED)
            serving = {attempt.ids["pair"]: served}
            core.write(lambda tx: _write(tx, serving))
        raise refused(left)
    return attempt


def line(core: Core, account: str, address: str) -> Line:
    """Where an attempt will wait for its turn; the arguments as of `admitted`."""
    return _met(core, account, address)[0].line


def _met(core: Core, account: str, address: str) -> tuple[Attempt, Counts, int]:
    near = network(address)
    parts = {"pair": (account, near), "address": (near,), "user": (account,), "known": (account, near)}
    ids = {kind: digest(core, kind, *values) for kind, values in parts.items() if near or kind != "address"}
    found, now = core.read(lambda tx: (_read(tx, ids.values()), tx.now))
    known = _living(found.get(ids["known"]), now)
    counts = _counts(ids, known, found, now)
    marked = max(counts.address.failures, counts.user.failures) > _SLIPS
    return Attempt(ids=ids, known=known, address=address, marked=marked, written={}), counts, now


def count(core: Core, attempt: Attempt, sub: str | None) -> Attempt:
    """Count it as a failure, before the password is looked at. Raises TooManyRequests where others came first."""
    ids = attempt.ids

    def change(tx: Tx) -> tuple[int, Attempt]:
        kinds = ("pair",) if attempt.known.expires_at else tuple(kind for kind in ids if kind != "known")
        found = _locked(tx, [ids[kind] for kind in kinds])
        counts = _counts(ids, attempt.known, found, tx.now)
        left = wait(counts, tx.now, core.rules)
        if left:
            return left, attempt
        written = {kind: each for kind, each in failed(counts, tx.now, core.rules).items() if kind in ids}
        _write(tx, {ids[kind]: each for kind, each in written.items()})
        for kind, each in written.items():
            if each.failures == getattr(core.rules, kind).free:
                audit.record(tx, "login.slowed", sub=sub, address=attempt.address, detail=_SLOWED[kind])
        return 0, replace(attempt, written=written)

    left, counted = core.write(change)
    if left:
        raise refused(left)
    return counted


def given_back(tx: Tx, attempt: Attempt) -> None:
    """It was no failure, and no success either."""
    for kind, written in attempt.written.items():
        # What others counted meanwhile stays; only our own wait is taken back.
        row = table.c.id == attempt.ids[kind]
        until = case((table.c.next_at == written.next_at, min(written.next_at, _OVER)), else_=table.c.next_at)
        tx.execute(update(table).where(row, table.c.failures > 0).values(failures=table.c.failures - 1, next_at=until))


def succeeded(tx: Tx, attempt: Attempt, kept: timedelta) -> None:
    """The user is in: the count of user and address is forgotten, and the address is known."""
    given_back(tx, replace(attempt, written={k: v for k, v in attempt.written.items() if k != "pair"}))
    tx.execute(delete(table).where(table.c.id == attempt.ids["pair"]))
    expires_at = tx.now + milliseconds(kept)
    if attempt.known.expires_at < expires_at - _RENEWED:
        _write(tx, {attempt.ids["known"]: Count(0, 0, expires_at)})


def second_factor(tx: Tx, core: Core, sub: str, place: Place) -> int:
    """Count a try of the user's second factor, before it is looked at; answers the milliseconds to wait, 0: go on.

    The password was right, so that no address is spared. The caller holds the user's row: tries come one by one.
    """
    row = digest(core, "second", sub, place)
    found = _living(_read(tx, [row]).get(row), tx.now)
    if found.next_at > tx.now:
        _shorten(tx, [row], core.rules.second.longest)
        return min(found.next_at - tx.now, core.rules.second.longest)
    failures = found.failures + 1
    delay = core.rules.second.wait(failures)
    _write(tx, {row: Count(failures, tx.now + delay if delay else 0, tx.now + delay + _SECOND_REMEMBERED)})
    if failures == core.rules.second.free and place != "enrollment":  # there each fresh seed is counted anew
        audit.record(tx, "totp.slowed", sub=sub, detail=_WHERE[place])
    return 0


def passed(tx: Tx, core: Core, sub: str, place: Place) -> None:
    """The second factor was right."""
    tx.execute(delete(table).where(table.c.id == digest(core, "second", sub, place)))


def forgiven(tx: Tx, core: Core, sub: str) -> None:
    """The password is no more that whoever guessed the second factor had."""
    for place in get_args(Place):
        passed(tx, core, sub, place)


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 address (one customer's, RFC 6177), else the text."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((int(parsed), 64), strict=False))
    return str(parsed)


_WHERE: Final[dict[Place, str]] = {
    "login": "at logins",
    "home": "at logins from where the user logged in before",
    "password": "at changes of the password",
    "change": "at changes of the second factor",
}
_SLOWED: Final = {
    "pair": "one user from one address",
    "address": "many users from one address",
    "user": "one user from many addresses",
}


def digest(core: Core, *parts: str) -> str:
    """What stands for these words in this service, and nowhere else; it looks like an id."""
    return _digest(core.follower.view().secrets.throttle, *parts)


def _digest(secret: bytes, *parts: str) -> str:
    data = b"".join(len(raw).to_bytes(4) + raw for raw in (part.encode("utf-8", "surrogatepass") for part in parts))
    return b64url_encode(hmac.digest(secret, data, "sha256")[:18]).decode()


def refused(left: int) -> TooManyRequests:
    """The answer to whoever has to wait so many milliseconds."""
    return TooManyRequests("too many failed logins", retry_after=-(-left // 1000))


def _counts(ids: dict[str, str], known: Count, found: dict[str, Count], now: int) -> Counts:
    pair, address, user = (_living(found.get(ids.get(kind, "")), now) for kind in ("pair", "address", "user"))
    return Counts(pair, address, user, known.expires_at > 0)


def _living(row: Count | None, now: int) -> Count:
    return row if row is not None and row.expires_at > now else Count()


def _read(tx: Tx, ids: Iterable[str]) -> dict[str, Count]:
    rows = tx.execute(select(table).where(table.c.id.in_(list(ids))))
    return {row.id: Count(row.failures, row.next_at, row.expires_at) for row in rows}


def _locked(tx: Tx, ids: list[str]) -> dict[str, Count]:
    """The rows, made where there are none, so that there is something to lock: in one order, against deadlocks."""
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    fresh = [{"id": each, **Count()._asdict()} for each in sorted(ids)]
    tx.execute(dialect.insert(table).values(fresh).on_conflict_do_nothing())
    rows = tx.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update())
    return {row.id: Count(row.failures, row.next_at, row.expires_at) for row in rows}


def _shorten(tx: Tx, ids: Iterable[str], longest: int) -> None:
    """Let no wait be longer than the longest: where the clock went back, it would last until the clock catches up."""
    until = tx.now + longest
    tx.execute(update(table).where(table.c.id.in_(list(ids)), table.c.next_at > until).values(next_at=until))


def _write(tx: Tx, counts: dict[str, Count]) -> None:
    for row, each in counts.items():
        values = each._asdict()
        if not tx.execute(update(table).where(table.c.id == row).values(values)).rowcount:
            tx.execute(insert(table), [{"id": row, **values}])
