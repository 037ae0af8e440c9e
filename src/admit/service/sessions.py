"""Sessions: one row each, however often it refreshes; and what a presented refresh token means, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import RowMapping, and_, bindparam, insert, or_, select, update

from admit.service import audit, revocation
from admit.service.prepared import Prepared
from admit.service.results import Session
from admit.service.schema import sessions, users
from admit.service.session_policy import milliseconds
from admit.service.storage import Now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from admit.service.refresh_token import RefreshToken
    from admit.service.session_policy import SessionPolicy
    from admit.service.storage import Tx


class Outcome(StrEnum):
    """What to do about a presented refresh token."""

    REFUSED = "refused"
    """The session is over, expired, of another client, or its user was cut off: invalid_grant, nothing changes."""
    AHEAD = "ahead"
    """Issued after the state this database was restored to: invalid_grant, audited, nothing ends."""
    ROTATE = "rotate"
    """A new access token, a new refresh token."""
    SAME = "same"
    """A new access token, the same refresh token: so a token inside its grace is never two generations old. And
    always, for a client whose refresh tokens do not rotate."""
    REPLAY = "replay"
    """A new access token, the same successor: a race, or an impatient retry."""
    RETRY = "retry"
    """As REPLAY, and audited: the answer with the successor was lost."""
    REUSE = "reuse"
    """The token was stolen, or its thief was first: the session ends (RFC 9700 4.14.2)."""


class Windows(NamedTuple):
    """Milliseconds after a rotation during which the previous token still gets its successor; by how much the clock may
    have gone back since; and whether there are rotations at all."""

    grace: int
    retry: int
    skew: int
    rotate: bool = True

    @classmethod
    def of(cls, policy: SessionPolicy, skew: timedelta) -> Windows:
        """Those of a client's sessions. skew: of any two hosts' clocks."""
        return cls(milliseconds(policy.grace), milliseconds(policy.retry_window), milliseconds(skew), policy.rotate)

    def rotated(self, now: int, window: int) -> tuple[int, int]:
        """When a rotation was that lies in the window: after the one, and not after the other.

        A clock that goes back must not hold the window open until it catches up: a rotation ahead of it counts as one of
        this moment, but only by the skew, and by no more than the window is long. Where there is no window, nothing is in it.
        """
        return now - window, now + min(self.skew, window)


@dataclass(frozen=True, slots=True)
class Row:
    """A session as the table below looks at it. Times are milliseconds."""

    id: str
    user_id: str
    client_id: str
    audience: str
    scope: str
    epoch: int
    generation: int
    hash: bytes
    previous: bytes | None
    successor: bytes | None
    seen: bool
    rotated_at: int
    idle_until: int
    expires_at: int
    auth_time: int
    auth_method: str
    ended_at: int | None
    status_idx: int | None
    user_epoch: int
    user_disabled_at: int | None

    def live(self, now: int) -> bool:
        """Whether it is neither ended nor expired, and its user was not cut off since it began."""
        cut_off = self.user_disabled_at is not None or self.user_epoch != self.epoch
        return self.ended_at is None and now < self.idle_until and now < self.expires_at and not cut_off


class Presented(NamedTuple):
    """A refresh token with a good MAC, and the authenticated client that shows it."""

    hash: bytes
    generation: int
    client_id: str


class Facts(NamedTuple):
    """What the refresh table asks about."""

    row: Row
    shown: Presented
    now: int
    windows: Windows

    @property
    def standing(self) -> bool:
        """The session is live, and this client's."""
        return self.row.live(self.now) and self.row.client_id == self.shown.client_id

    @property
    def ahead(self) -> bool:
        """The token is of a generation that this database has not, or not so, given out."""
        gap = self.shown.generation - self.row.generation
        return gap > 0 or (gap == 0 and not self.current)

    @property
    def current(self) -> bool:
        """It is the newest token of its session."""
        return self.shown.hash == self.row.hash

    @property
    def previous(self) -> bool:
        """It is the one before, and its successor is still at hand."""
        return self.shown.hash == self.row.previous and self.row.successor is not None

    @property
    def in_grace(self) -> bool:
        """The last rotation is younger than the grace; the window never slides."""
        return self._rotated_within(self.windows.grace)

    @property
    def in_retry(self) -> bool:
        """The last rotation is younger than the retry window, and its answer was perhaps lost: nobody used it."""
        return self._rotated_within(self.windows.retry) and not self.row.seen

    def _rotated_within(self, window: int) -> bool:
        after, until = self.windows.rotated(self.now, window)
        return after < self.row.rotated_at <= until


CASES: Final[tuple[tuple[Outcome, Callable[[Facts], bool]], ...]] = (
    (Outcome.REFUSED, lambda it: not it.standing),
    (Outcome.AHEAD, lambda it: it.ahead),
    (Outcome.ROTATE, lambda it: it.current and it.windows.rotate and not it.in_grace),
    (Outcome.SAME, lambda it: it.current),
    (Outcome.REPLAY, lambda it: it.previous and it.in_grace),
    (Outcome.RETRY, lambda it: it.previous and it.in_retry),
    (Outcome.REUSE, lambda _: True),
)
"""The refresh table: the first row whose condition holds is the outcome."""


def classify(row: Row, presented: Presented, now: int, windows: Windows) -> Outcome:
    """What a presented token means. Pure: the row, the token, the time."""
    facts = Facts(row, presented, now, windows)
    return next(outcome for outcome, holds in CASES if holds(facts))


# The compare-and-swap. It repeats what classify saw, against whatever changed since.
_SWAP: Final = Prepared(
    update(sessions)
    .where(
        sessions.c.id == bindparam("session"),
        sessions.c.hash == bindparam("old"),
        sessions.c.client_id == bindparam("client"),
        sessions.c.ended_at.is_(None),
        sessions.c.idle_until > bindparam("now"),
        sessions.c.expires_at > bindparam("now"),
        or_(sessions.c.rotated_at <= bindparam("ripe"), sessions.c.rotated_at > bindparam("ahead")),
        sessions.c.epoch
        == select(users.c.epoch)
        .where(users.c.id == sessions.c.user_id, users.c.disabled_at.is_(None))
        .correlate(sessions)
        .scalar_subquery(),
    )
    .values(
        hash=bindparam("new"),
        previous=bindparam("old"),
        successor=bindparam("sealed"),
        generation=sessions.c.generation + 1,
        seen=False,
        rotated_at=bindparam("now"),
        used_at=bindparam("now"),
        idle_until=bindparam("idle"),
    )
    .returning(sessions.c.generation)
)
_SEEN = update(sessions).where(
    sessions.c.id == bindparam("session"), sessions.c.hash == bindparam("old"), sessions.c.seen.is_(False)
)
_RETRIED = update(sessions).where(
    sessions.c.id == bindparam("session"),
    sessions.c.hash == bindparam("current"),
    sessions.c.used_at == sessions.c.rotated_at,  # as the rotation left it
)
_EXTEND: Final = Prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.hash == bindparam("old"), sessions.c.ended_at.is_(None))
    .values(seen=True, used_at=bindparam("now"), idle_until=bindparam("idle"))
    .returning(sessions.c.generation)
)
_FIND: Final = Prepared(
    select(
        Now(),
        *(sessions.c[name] for name in Row.__dataclass_fields__ if name in sessions.c),  # in Row's order
        users.c.epoch.label("user_epoch"),
        users.c.disabled_at.label("user_disabled_at"),
    ).where(sessions.c.id == bindparam("session"), users.c.id == sessions.c.user_id)
)
_END = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), end_reason=bindparam("why"), successor=None)
    .returning(sessions.c.user_id, sessions.c.client_id)
)


def find(tx: Tx, session_id: str) -> Row | None:
    """The session of that id, with its user's standing."""
    row = _FIND.row(tx.connection, {"session": session_id})
    if row is None:
        return None
    tx.told(row[0])
    return Row(*row[1:])


def add(tx: Tx, row: dict[str, Any]) -> None:
    """Insert a new session: generation 0, never rotated."""
    tx.execute(insert(sessions), [row])


def swap(
    tx: Tx,
    old: RefreshToken,
    new: RefreshToken,
    *,
    client_id: str,
    sealed: bytes,
    now: int,
    windows: Windows,
    idle_until: int,
) -> bool:
    """Rotate, if the session still stands as it was classified at `now`. False: lost to somebody else."""
    values = {"session": old.session_id, "old": old.hash, "new": new.hash, "client": client_id, "sealed": sealed}
    ripe, ahead = windows.rotated(now, windows.grace)
    return _SWAP.row(tx.connection, values | {"now": now, "ripe": ripe, "ahead": ahead, "idle": idle_until}) is not None


def mark_seen(tx: Tx, token: RefreshToken, now: int) -> None:
    """Note that the current token was presented: its predecessor has no excuse left beyond the grace."""
    tx.execute(_SEEN.values(seen=True, used_at=now), {"session": token.session_id, "old": token.hash})


def mark_retried(tx: Tx, row: Row) -> bool:
    """Note that the answer of the last rotation was asked for again. False where it had been before, and is told already."""
    if tx.execute(_RETRIED.values(used_at=tx.now), {"session": row.id, "current": row.hash}).rowcount == 1:
        return True
    found = find(tx, row.id)
    return found is not None and found.hash != row.hash  # it rotated again meanwhile, and nobody can tell


def hold(tx: Tx, session_id: str) -> None:
    """Let nobody else change the session until the commit."""
    tx.execute(select(sessions.c.id).where(sessions.c.id == session_id).with_for_update()).scalar()


def extend(tx: Tx, token: RefreshToken, now: int, idle_until: int) -> bool:
    """Note the use of a token that does not rotate. False where the session ended or rotated in the meantime."""
    values = {"session": token.session_id, "old": token.hash, "now": now, "idle": idle_until}
    return _EXTEND.row(tx.connection, values) is not None


def end(tx: Tx, session_id: str, why: str, *, address: str | None = None) -> bool:
    """End a session and cut off its access tokens. False where it had ended already."""
    row = tx.execute(_END, {"session": session_id, "now": tx.now, "why": why}).one_or_none()
    if row is None:
        return False
    audit.record(tx, f"session.{why}", sub=row.user_id, client_id=row.client_id, session_id=session_id, address=address)
    revocation.cut_off(tx, revocation.CutOff("sid", session_id))
    return True


def live(tx: Tx, sub: str) -> list[Session]:
    """The subject's live sessions, newest first."""
    current = and_(
        sessions.c.user_id == sub,
        sessions.c.ended_at.is_(None),
        sessions.c.idle_until > tx.now,
        sessions.c.expires_at > tx.now,
        sessions.c.epoch == users.c.epoch,
        users.c.disabled_at.is_(None),
    )
    query = select(sessions).join(users, users.c.id == sessions.c.user_id).where(current)
    rows = tx.execute(query.order_by(sessions.c.created_at.desc(), sessions.c.id)).mappings()
    return [_shown(row) for row in rows]


def end_beyond(tx: Tx, sub: str, most: int, new: str) -> None:
    """End the subject's oldest live sessions beyond `most`, never the new one, whatever the clock said before.

    The caller holds the user's row.
    """
    others = [session for session in live(tx, sub) if session.id != new]
    for session in others[most - 1 :]:
        end(tx, session.id, "cap")


def end_others(tx: Tx, sub: str, kept: str) -> int:
    """End every live session of the subject but one; how many."""
    return sum(end(tx, session.id, "ended") for session in live(tx, sub) if session.id != kept)


def _shown(row: RowMapping) -> Session:
    return Session(
        sub=row["user_id"],
        last_used_at=row["used_at"] / 1000,
        expires_at=min(row["idle_until"], row["expires_at"]) / 1000,
        **{name: row[name] / 1000 for name in ("created_at", "auth_time")},
        **{name: row[name] for name in ("id", "client_id", "scope", "audience", "device", "address", "auth_method")},
    )
