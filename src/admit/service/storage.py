"""Storage: one SQL database, read and written in short transactions. What goes wrong in it is StorageUnavailable."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from concurrent.futures import TimeoutError as NotYet
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, BigInteger, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.functions import FunctionElement

from admit.clock import Clock, jitter, monotonic, system_clock
from admit.errors import AdmitError, ConfigurationError, StorageUnavailable
from admit.service.notices import Notices, notify
from admit.service.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.pool import Pool
    from sqlalchemy.sql.compiler import SQLCompiler

    from admit.service.results import AuditEvent

T = TypeVar("T")
_BUSY_SECONDS: Final = 5  # how long another process may hold SQLite's write lock before a call gives up
_FORGETTING: Final = 250  # milliseconds that the journal is waited for while it is read
_ANSWER_SECONDS: Final = 30  # how long a call waits for its group's commit
_ATTEMPTS: Final = 8  # of a PostgreSQL transaction that lost to another one
_LOST: Final = frozenset(("40001", "40P01", "23505"))
"""Serialization failure, deadlock, a row inserted at the same time: run again, the transaction sees what won."""
_READERS: Final = 48  # connections, more than anyio's 40 worker threads
POOL: Final = 16
"""PostgreSQL connections of one process at work: six processes fit into its default of 100."""
_SPARE: Final = 4  # for the follower, and logins whose password was right
CONNECTIONS: Final = POOL + _SPARE
"""The most that one process opens."""
_WAIT_SECONDS: Final = 5  # for a connection of the pool, for a new one, and for a lock
STATEMENT_SECONDS: Final = 10
"""How long PostgreSQL works on one statement."""
_CONNECT: Final = {
    "connect_timeout": _WAIT_SECONDS,
    # A host that is gone answers nothing, not even that it is gone: libpq's own defaults notice after two hours.
    "tcp_user_timeout": 2 * _WAIT_SECONDS * 1000,
    "keepalives_idle": 2 * _WAIT_SECONDS,
    "keepalives_interval": _WAIT_SECONDS,
    "keepalives_count": 2,
}
"""What libpq is told where the URL does not say it: seconds, but for tcp_user_timeout (milliseconds)."""


class Now(FunctionElement[int]):
    """The database's clock as a column beside others, which spares asking for it (Tx.told); NULL on SQLite."""

    inherit_cache = True
    type = BigInteger()
    name = "now"


@compiles(Now)
def _nowhere(element: Now, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001 - SQLAlchemy's signature
    return "NULL"  # SQLite lives in this process: its clock is this one's


@compiles(Now, "postgresql")
def _milliseconds(element: Now, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001 - SQLAlchemy's signature
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


class Tx:
    """One transaction: its connection and the time it decides by; and, for after its commit, the audit events to tell
    whether it moved the feed or the keys, and whether it destroyed secrets."""

    __slots__ = ("_now", "connection", "destroyed", "events", "execute", "moved")

    def __init__(self, connection: Connection, now: int | None) -> None:
        self.connection, self._now = connection, now
        self.execute = connection.execute
        self.events: list[AuditEvent] = []
        self.moved = self.destroyed = False

    @property
    def now(self) -> int:
        """Milliseconds of the database's clock, asked for once."""
        if self._now is None:
            self._now = int(self.execute(_ASK).scalar_one())
        return self._now

    def told(self, now: int | None) -> None:
        """A statement brought the time along (Now)."""
        if self._now is None:
            self._now = now


_ASK: Final = select(Now())


class _InProcess:
    """What belongs to one process: a fork must not share connections, threads or locks with its parent."""

    def __init__(self, engine: Engine, writer: Writer | None, path: str = "") -> None:
        # In autocommit: each statement commits by itself unless _written says BEGIN. So a read is one round trip.
        self.engine, self.writer = engine, writer
        self._path, self._file = path, _file_at(path)

    def must_be_there(self) -> None:
        """Raise where SQLite's file has gone: what is written into it then is answered, and nowhere after a restart; and
        whoever opens what lies in its place writes the old journal over it."""
        if self._file is not None and _file_at(self._path) != self._file:
            raise sqlite3.OperationalError("its file was deleted, moved or replaced while it was in use")


class Storage:
    """The database of a service. `clock` stands in for the database's clock, in tests."""

    def __init__(self, database: Engine | str, clock: Clock | None = None) -> None:
        try:
            self.url = database.url if isinstance(database, Engine) else make_url(database)
        except ArgumentError:
            raise ConfigurationError(
                "the database is an SQLAlchemy Engine or a URL such as sqlite:///auth.db"
            ) from None
        self._given = database if isinstance(database, Engine) else None
        self._clock = clock
        backend = self.url.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise ConfigurationError(f"Admit keeps its tables in SQLite or PostgreSQL, not in {backend}")
        self.sqlite = backend == "sqlite"
        if self.sqlite and self.url.database in (None, "", ":memory:"):
            raise ConfigurationError("an SQLite database in memory would forget every revocation; name a file")
        self._path = os.path.abspath(str(self.url.database))  # now: who becomes a daemon is in another folder then
        # Never removed: letting go of a parent's connections in a child would close them for the parent too.
        self._processes: dict[int, _InProcess] = {}
        self._opening = Lock()
        self._home = self._made_in = os.getpid()
        self.around: Callable[[str], AbstractContextManager[None]] | None = None
        """Whoever measures: entered around each transaction, told "read" or "write"."""
        self.owed = False
        """Whether what was destroyed may still be in SQLite's journal."""
        self.failures: Counter[str] = Counter()
        """What went wrong in this process, by its kind: busy, pool, away, error; and retried, which nobody noticed."""

    def read(self, query: Callable[[Tx], T]) -> T:
        """What `query` answers. Each of its statements sees the newest commit; it may run more than once."""
        with self._measured("read"):
            try:
                return self._again(lambda process: self._queried(process.engine, query))
            except (SQLAlchemyError, sqlite3.Error) as error:
                raise self._failed(error) from None

    def write(
        self, change: Callable[[Tx], T], *, taken: AdmitError | None = None, single: bool = False
    ) -> tuple[T, Tx]:
        """What `change` answers, and its transaction, once committed. It may run more than once.

        taken: raised where a unique value exists already. single: it is one statement, which needs neither BEGIN nor
        COMMIT around it: two round trips less. Raises StorageUnavailable.
        """
        with self._measured("write"):
            try:
                if single and not self.sqlite:
                    return self._retried(lambda: self._lone(change), taken is None)
                return self._again(lambda process: self._written(process, change, taken is None))
            except IntegrityError as error:
                raise (taken or self._failed(error)) from None
            except (SQLAlchemyError, sqlite3.Error, NotYet) as error:
                raise self._failed(error) from None

    def notices(self) -> Notices:
        """What a thread waits for that follows this database; for one thread of this process."""
        return Notices(None if self.sqlite else self._process().engine)

    def notify(self) -> None:
        """Tell other processes that something has moved, now that it is committed."""
        if not self.sqlite:
            notify(self._process().engine)

    def forget(self) -> None:
        """Let what was destroyed be gone from SQLite's journal, too; where somebody reads in it, it is `owed`."""
        if self.sqlite:
            self.owed = True
            with suppress(SQLAlchemyError), self._process().engine.connect() as connection:
                connection.detach()  # it waits for readers less long than others wait: writers wait for it
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_FORGETTING}")
                self.owed = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar() != 0

    def close(self) -> None:
        """Close this process's connections; a host's own Engine is left alone."""
        process = self._processes.pop(os.getpid(), None)
        if process is not None:
            if process.writer is not None:
                process.writer.close()
            if self._given is None:
                process.engine.dispose()

    def pool(self) -> tuple[int, int]:
        """Connections of this process at work, and how many there can be."""
        process = self._processes.get(os.getpid())
        if process is None:
            return 0, 0
        pool: Pool = process.engine.pool
        if not isinstance(pool, QueuePool):
            return 0, 0
        return pool.checkedout(), pool.size() + max(0, pool._max_overflow)

    def _measured(self, operation: str) -> AbstractContextManager[None]:
        return _NOTHING if self.around is None else self.around(operation)

    def _failed(self, error: BaseException) -> StorageUnavailable:
        self.failures[_kind(error)] += 1
        return _unavailable(error)

    def _again(self, work: Callable[[_InProcess], T]) -> T:
        """Once more where a connection of the pool turns out to be dead: the first to notice empties the whole pool."""
        process = self._process()
        process.must_be_there()
        try:
            return work(process)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return work(self._process())

    def _written(self, process: _InProcess, change: Callable[[Tx], T], again: bool) -> tuple[T, Tx]:
        if process.writer is not None:
            return process.writer.run(lambda connection: self._changed(connection, change), _ANSWER_SECONDS)
        return self._retried(lambda: self._begun(process, change), again)

    def _begun(self, process: _InProcess, change: Callable[[Tx], T]) -> tuple[T, Tx]:
        with process.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
            answer = self._changed(connection, change)
            _commit(connection)
            return answer

    def _lone(self, change: Callable[[Tx], T]) -> tuple[T, Tx]:
        with self._process().engine.connect() as connection:
            return self._changed(connection, change)

    def _retried(self, work: Callable[[], T], again: bool) -> T:
        for _ in range(_ATTEMPTS):
            try:
                return work()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _LOST or not again:
                    raise
                self.failures["retried"] += 1
                last = error
        raise last

    def _changed(self, connection: Connection, change: Callable[[Tx], T]) -> tuple[T, Tx]:
        tx = Tx(connection, self._now())
        return change(tx), tx

    def _queried(self, engine: Engine, query: Callable[[Tx], T]) -> T:
        with engine.connect() as connection:
            return query(Tx(connection, self._now()))

    def _now(self) -> int | None:
        clock = self._clock or (system_clock if self.sqlite else None)
        return None if clock is None else int(clock() * 1000)

    def _process(self) -> _InProcess:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            if pid != self._home:
                # A lock may have been held by a thread that the fork left behind.
                self._home, self._opening = pid, Lock()
            with self._opening:
                process = self._processes.get(pid) or self._processes.setdefault(
                    pid, self._open(forked=pid != self._made_in)
                )
        return process

    def _open(self, *, forked: bool) -> _InProcess:
        if not self.sqlite:
            if self._given is not None:
                if forked:
                    self._given.dispose(close=False)
                return _InProcess(self._given.execution_options(isolation_level="AUTOCOMMIT"), None)
            return _InProcess(_postgres(self.url), None)
        _own(self._path)
        engine = create_engine(
            self.url if "uri" in self.url.query else self.url.set(database=self._path),
            isolation_level="AUTOCOMMIT",
            pool_size=_READERS,
            max_overflow=0,
            pool_reset_on_return=None,
            hide_parameters=True,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        if self.url.query.get("mode") != "ro":  # whoever only reads leaves the journal as it is
            event.listen(engine, "connect", _prepare)
        return _InProcess(engine, Writer(engine), self._path)


def _commit(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("COMMIT")
    except DBAPIError as error:
        if error.connection_invalidated:  # whether it was committed, nobody here knows: it must not run again
            raise _unavailable(error) from None
        raise


def _postgres(url: URL) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=POOL,
        max_overflow=_SPARE,
        pool_timeout=_WAIT_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
    )
    if engine.driver == "psycopg":  # others wait in other ways
        from admit.service import postgres  # here: the driver is an extra

        event.listen(engine, "do_connect", postgres.connect)
    event.listen(engine, "connect", _bound)
    return engine


def _bound(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    # A process that is stopped amid a transaction must not hold the rows of the others for ever.
    connection.execute(
        f"SET lock_timeout = '{_WAIT_SECONDS}s'; SET statement_timeout = '{STATEMENT_SECONDS}s';"
        f"SET idle_in_transaction_session_timeout = '{2 * _WAIT_SECONDS}s';"
        "SET default_transaction_isolation = 'read committed'"  # each statement sees the newest commit
    )
    connection.commit()


def _own(path: str) -> None:
    """A new file is its owner's alone, whatever the umask: password hashes lie in it. SQLite gives -wal and -shm its mode.

    One that exists is never opened here: closing it would let go of the locks that this process holds on it (POSIX).
    """
    with suppress(OSError):  # it is there, or cannot be made, which SQLite tells
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _file_at(path: str) -> tuple[int, int] | None:
    """Which file that is; None where there is none, or a name that only SQLite knows (`file:`)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")  # an answered revocation survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # a key's private half is not left where it was


def _write_ahead(connection: Any) -> None:
    """Two that switch a new file at once: SQLite refuses one of them at once, whatever it may wait for other locks."""
    ends = monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > ends:
                raise
        Event().wait(0.02 * jitter())  # so that two do not meet again


_NOTHING: Final = nullcontext()
_BUSY: Final = frozenset(("40001", "40P01", "55P03", "57014"))
"""Of PostgreSQL: serialization failure, deadlock, a lock or a statement that took too long."""


def _kind(error: BaseException) -> str:
    """What a failure is counted as."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, NoConnection):
        return "pool"
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return "busy" if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else "error"
    if isinstance(cause, NotYet) or getattr(cause, "sqlstate", None) in _BUSY:
        return "busy"
    return "away" if isinstance(error, OperationalError) else "error"


def _unavailable(error: BaseException) -> StorageUnavailable:
    # The driver's first line only: further lines of PostgreSQL's quote values.
    cause = getattr(error, "orig", None) or error
    line = (str(cause).splitlines() or [""])[0][:120]
    return StorageUnavailable(f"the database could not answer: {type(cause).__name__} {line}".rstrip())
