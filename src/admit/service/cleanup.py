"""Cleanup: small bounded steps beside normal work, so that no table grows with what nobody needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update

from admit.service.policy import Policy, milliseconds
from admit.service.schema import audit, revocations, sessions

if TYPE_CHECKING:
    from admit.service.storage import Tx

_DEAD: Final = milliseconds(
    timedelta(days=1)
)  # how long a session's row outlives it, for whoever looks into a complaint


def step(tx: Tx, policy: Policy, limit: int) -> int:
    """Remove up to `limit` rows of each sort, and sealed successors whose window has closed; answers how many."""
    closed = tx.now - milliseconds(policy.retry_window)
    sealed = (
        select(sessions.c.id).where(sessions.c.successor.is_not(None), sessions.c.rotated_at <= closed).limit(limit)
    )
    over = select(sessions.c.id).where(sessions.c.idle_until < tx.now - _DEAD).limit(limit)
    past = select(revocations.c.seq).where(revocations.c.exp < tx.now // 1000).limit(limit)
    old = select(audit.c.id).where(audit.c.at < tx.now - milliseconds(policy.kept)).limit(limit)
    statements = (
        update(sessions).where(sessions.c.id.in_(sealed)).values(successor=None),
        delete(sessions).where(sessions.c.id.in_(over)),
        delete(revocations).where(revocations.c.seq.in_(past)),
        delete(audit).where(audit.c.id.in_(old)),
    )
    return sum(tx.execute(statement).rowcount for statement in statements)
