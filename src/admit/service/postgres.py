"""A connection to PostgreSQL that gives up a server which has fallen silent.

`statement_timeout` is the server's own: one that is stopped, or whose disk hangs, keeps no time, and its kernel goes on
acknowledging packets, so that TCP notices nothing either. Whoever waited for it would wait for ever.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import psycopg

from admit.clock import monotonic
from admit.service.storage import STATEMENT_SECONDS

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen
    from sqlalchemy import Connection

_SILENCE: Final = STATEMENT_SECONDS + 1.0  # seconds: by then an answer is here, if only that it took too long


class Bounded(psycopg.Connection[Any]):
    """It is closed, and OperationalError raised, where one exchange with the server takes longer than that."""

    silence = _SILENCE

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """psycopg's own, which looks several times a second whether it goes on."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: PQGen[RV]) -> PQGen[RV]:
        ends = monotonic() + self.silence
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and monotonic() > ends:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.silence:.0f} s")
                state = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer


def connect(dialect: object, record: object, arguments: list[Any], named: dict[str, Any]) -> Bounded:  # noqa: ARG001
    """How SQLAlchemy connects (its event `do_connect`)."""
    return Bounded.connect(*arguments, **named)


def wait_long(connection: Connection) -> None:
    """Let whatever comes on this connection take its time: a migration of a large table does."""
    driver = connection.connection.driver_connection
    if isinstance(driver, Bounded):
        driver.silence = inf
