"""SQLite's writer: every call is answered, whatever becomes of its thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from admit.errors import StorageUnavailable
from admit.service.writer import Writer
from tests.helpers.waiting import until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(
        f"sqlite:///{tmp_path}/a.db", isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False}
    )
    yield engine
    engine.dispose()


def one(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT 1").scalar_one())


def test_a_call_that_comes_while_it_is_closed_is_answered_and_the_end_ends(engine: Engine) -> None:
    writer, begun, go_on = Writer(engine), Event(), Event()

    def long(connection: Connection) -> int:
        begun.set()
        go_on.wait(30)
        return one(connection)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(writer.run, long, 30)
        assert begun.wait(30)
        thread = writer._thread
        closing = pool.submit(writer.close)
        until(lambda: writer._calls is None)
        second = pool.submit(writer.run, one, 30)
        until(lambda: writer._thread is not thread)
        go_on.set()
        assert [first.result(30), second.result(30)] == [1, 1]
        closing.result(30)
        writer.close()
    assert not any(each is not None and each.is_alive() for each in (thread, writer._thread))


def test_a_thread_that_cannot_be_started_is_unavailable_and_the_next_call_starts_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(engine)

    def refused(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refused)
        with pytest.raises(StorageUnavailable):
            writer.run(one, 30)
    assert writer.run(one, 30) == 1
    writer.close()


def test_what_a_listener_of_the_host_raises_ends_the_call_and_not_the_thread(engine: Engine) -> None:
    writer = Writer(engine)

    def broken(*_: object) -> None:
        raise LookupError("the host's own mistake")

    event.listen(engine, "engine_connect", broken)
    with pytest.raises(LookupError):
        writer.run(one, 30)
    event.remove(engine, "engine_connect", broken)
    assert writer.run(one, 30) == 1
    writer.close()
