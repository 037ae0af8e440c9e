"""Notices: PostgreSQL wakes the processes of a service when one of them has moved the feed or the keys.

A NOTIFY is sent after the commit, never within it: PostgreSQL makes transactions that notify commit one after the other.
It carries nothing and promises nothing. Whoever hears it looks into the database a little earlier than he would have, and
where no notice comes, for whatever reason, the look every 200 ms is what remains.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SQLAlchemyError

from admit.clock import monotonic

if TYPE_CHECKING:
    from threading import Event

    from sqlalchemy import Engine

_CHANNEL: Final = "admit_moved"
_GAP: Final = 0.02  # seconds between two looks, however many notices come
_AGAIN: Final = 5.0  # seconds between attempts to listen


def notify(engine: Engine) -> None:
    """Wake the other processes; where that fails, they look by themselves. engine: in autocommit."""
    with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
        connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")


class Notices:
    """What one thread waits for between its looks. engine: PostgreSQL's, or None where nobody notifies."""

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine
        self._listening: Any = None
        self._next = 0.0

    def wait(self, ended: Event, seconds: float) -> bool:
        """Whether it is over, at the latest after that time; earlier when a notice comes."""
        if self._listening is None:
            self._listen()
        if self._listening is None:
            return ended.wait(seconds)
        try:
            heard = any(True for _ in self._listening.notifies(timeout=seconds, stop_after=1))
        except Exception:  # noqa: BLE001 - whatever the driver says of a lost connection: without it there is the period
            self.close()
            return ended.wait(seconds)
        return ended.wait(_GAP) if heard else ended.is_set()

    def close(self) -> None:
        """Let go of the connection; the next `wait` opens another, but not within five seconds."""
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(Exception):
                listening.close()

    def _listen(self) -> None:
        if self._engine is None or monotonic() < self._next:
            return
        self._next = monotonic() + _AGAIN
        dialect = self._engine.dialect
        if dialect.driver != "psycopg":  # others wait in other ways
            return
        from admit.service import postgres  # here: the driver is an extra

        arguments, named = dialect.create_connect_args(self._engine.url)
        try:
            # Not of the pool: there it would be missing for good, and waiting for a place would hold up the looks.
            named = {"connect_timeout": 2, **named, "autocommit": True}
            self._listening = postgres.connect(dialect, None, list(arguments), named)  # a silent server is given up
            self._listening.execute(f"LISTEN {_CHANNEL}")
        except Exception:  # noqa: BLE001 - as above
            self.close()
