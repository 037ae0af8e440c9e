"""Cleanup: small bounded steps beside normal work, so that no table grows with what nobody needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Select, Table, delete, select, update

from admit.clock import monotonic
from admit.service.policy import Policy
from admit.service.schema import assertions, audit, clients, devices, revocations, sessions, throttle
from admit.service.session_policy import SessionPolicy, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.service.storage import Tx

LIMIT: Final = 500
"""Rows of each sort in one step: some milliseconds, for which nobody's call waits longer than for another call."""
_SPELL: Final = 0.3
"""Seconds of steps, one after the other, before the process looks after its keys and revocations again."""
_DEAD: Final = milliseconds(timedelta(days=1))  # a session's row outlives it, for whoever looks into a complaint
_REMEMBERED: Final = milliseconds(timedelta(minutes=10))  # that a used assertion is, after its exp


def sweep(step: Callable[[int], int]) -> bool:
    """Step for a moment; whether there is more to do."""
    ends = monotonic() + _SPELL
    while step(LIMIT) >= LIMIT:
        if monotonic() > ends:
            return True
    return False


def step(tx: Tx, policy: Policy, limit: int) -> int:
    """Remove up to `limit` rows of each sort, and sealed successors whose window has closed; answers how many."""
    own = tx.execute(select(clients.c.policy).where(clients.c.policy.is_not(None))).scalars()
    longest = max([policy.retry_window, *(SessionPolicy.load(text).retry_window for text in own)])
    sealed, *over = due(tx.now, longest, policy.kept, limit)
    done: int = tx.execute(update(sessions).where(sessions.c.id.in_(sealed)).values(successor=None)).rowcount
    for (table, key), rows in zip(_REMOVED, over, strict=True):
        done += tx.execute(delete(table).where(key.in_(rows))).rowcount
    return done


_REMOVED: Final[tuple[tuple[Table, Column[Any]], ...]] = (
    (sessions, sessions.c.id),
    (revocations, revocations.c.seq),
    (audit, audit.c.id),
    (devices, devices.c.id),
    (assertions, assertions.c.digest),
    (throttle, throttle.c.id),
)


def due(now: int, retry_window: timedelta, kept: timedelta, limit: int) -> tuple[Select[Any], ...]:
    """What finds sealed successors whose window has closed; then sessions, revocations, audit lines, devices, used client
    assertions and failures that are over.

    A row that somebody works on at this moment is left for the next step: cleanup waits for nobody, and two processes
    that clean up at once take different rows.
    """
    queries = (
        select(sessions.c.id).where(
            sessions.c.successor.is_not(None), sessions.c.rotated_at <= now - milliseconds(retry_window)
        ),
        select(sessions.c.id).where(sessions.c.idle_until < now - _DEAD),
        select(revocations.c.seq).where(revocations.c.exp < now // 1000),
        select(audit.c.id).where(audit.c.at < now - milliseconds(kept)),
        select(devices.c.id).where(devices.c.seen_at < now - milliseconds(kept)),
        # An expired one is refused, but it may have been judged just before, or by a clock that then goes back.
        select(assertions.c.digest).where(assertions.c.exp < now - _REMEMBERED),
        select(throttle.c.id).where(throttle.c.expires_at < now),
    )
    return tuple(query.limit(limit).with_for_update(skip_locked=True) for query in queries)
