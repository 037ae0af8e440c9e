"""A statement of the hot path: rendered once, and given to psycopg as it is.

SQLAlchemy's own execution takes twice the time of the round trip to PostgreSQL. Elsewhere it runs the statement as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Dialect, Executable


class Prepared:
    """One statement that answers at most one row."""

    __slots__ = ("_rendered", "_statement")

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._rendered: tuple[str, dict[str, Any]] | None = None

    def row(self, connection: Connection, values: Mapping[str, object]) -> tuple[Any, ...] | None:
        """Run it. Raises what SQLAlchemy raises."""
        if connection.dialect.driver != "psycopg":
            row = connection.execute(self._statement, values).one_or_none()
            return None if row is None else tuple(row)
        text, fixed = self._rendered or self._render(connection.dialect)
        driver: Any = connection.connection.driver_connection
        try:
            answer: tuple[Any, ...] | None = driver.execute(text, {**fixed, **values}).fetchone()
        except connection.dialect.loaded_dbapi.Error as error:
            # As SQLAlchemy does: the first to meet a dead connection empties the pool of its like.
            dead = connection.dialect.is_disconnect(error, driver, None)
            if dead:
                connection.invalidate(error)
                connection.engine.dispose()
            raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=dead) from None
        return answer

    def _render(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        compiled: Any = self._statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._rendered = str(compiled), fixed
        return self._rendered
