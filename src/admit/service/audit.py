"""The audit trail: a line for each event, written in the transaction that it tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from admit.service.results import AuditEvent
from admit.service.schema import audit

if TYPE_CHECKING:
    from admit.service.storage import Tx

_RECORD = insert(audit).returning(audit.c.id)


def record(
    tx: Tx,
    event: str,
    *,
    sub: str | None = None,
    client_id: str | None = None,
    session_id: str | None = None,
    address: str | None = None,
    detail: str | None = None,
) -> None:
    """Write a line, and tell the service's hook of it after the commit."""
    values = {"sub": sub, "client_id": client_id, "session_id": session_id, "address": address, "detail": detail}
    number = tx.execute(_RECORD, [{"at": tx.now, "event": event, **values}]).scalar_one()
    tx.events.append(AuditEvent(id=number, at=tx.now / 1000, event=event, **values))


def told(tx: Tx, event: str, sub: str, session_id: str) -> bool:
    """Whether there is a line of that event for a session of the subject."""
    own = (audit.c.sub == sub, audit.c.session_id == session_id, audit.c.event == event)
    return tx.execute(select(audit.c.id).where(*own).order_by(audit.c.id.desc()).limit(1)).scalar() is not None


def after(tx: Tx, event_id: int, sub: str | None, limit: int) -> list[AuditEvent]:
    """Lines after an event id, oldest first."""
    query = select(audit).where(audit.c.id > event_id).order_by(audit.c.id).limit(limit)
    if sub is not None:
        query = query.where(audit.c.sub == sub)
    return [AuditEvent(**{**row, "at": row["at"] / 1000}) for row in tx.execute(query).mappings()]
