"""The database: migrations, faults, forks, the writer, growth."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import create_engine, inspect, text

from admit.errors import ConfigurationError, StorageUnavailable
from admit.service import migrations, schema
from admit.service.facade import TokenService
from admit.service.storage import Storage, Tx
from tests.helpers.fork import succeeds_in_a_child
from tests.service.conftest import PASSWORD, Opener


def test_the_migrations_make_the_tables_that_the_code_names(service: TokenService, url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(url)
    with engine.connect() as connection:
        ours = {"version_table": migrations.VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), schema.metadata) == []
        assert migrations.current(connection) == migrations.HEAD
        assert all(name.startswith("admit_") for name in inspect(connection).get_table_names())
    engine.dispose()


def test_the_head_is_the_newest_revision_that_ships() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.HEAD]


def test_the_hosts_own_tables_and_migrations_are_left_alone(opened: Opener, url: str) -> None:
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('hosts-own')")
        connection.execute("CREATE TABLE users (id INTEGER)")
    connection.close()
    opened(database=create_engine(url)).users.add("alice", PASSWORD)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("hosts-own",)]
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("umask", [0o022, 0])
def test_a_new_database_is_its_owners_alone_whatever_the_umask(opened: Opener, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        opened().users.add("alice", PASSWORD)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("auth.db", "auth.db-wal", "auth.db-shm"), 0o600)


def test_a_database_that_is_there_keeps_its_mode(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    path.touch()
    path.chmod(0o660)
    opened().users.add("alice", PASSWORD)
    assert path.stat().st_mode & 0o777 == 0o660


def test_a_database_of_a_newer_version_is_not_touched(opened: Opener, url: str) -> None:
    opened()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE admit_alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigurationError, match="newer"):
        opened()


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for number in range(25):
            storages = [Storage(f"sqlite:///{tmp_path}/{number}.db") for _ in range(4)]
            together = Barrier(4)

            def opened(storage: Storage, together: Barrier = together) -> str:
                together.wait(10)
                return storage.read(lambda tx: str(tx.execute(text("PRAGMA journal_mode")).scalar_one()))

            assert list(pool.map(opened, storages)) == ["wal"] * 4
            for storage in storages:
                storage.close()


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "not a url"])
def test_a_database_that_cannot_serve_is_refused(opened: Opener, bad: str) -> None:
    with pytest.raises(ConfigurationError):
        opened(database=bad)


def test_a_damaged_database_and_an_unwritable_folder_are_unavailable(opened: Opener, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageUnavailable):
        opened(database=f"sqlite:///{damaged}")
    with pytest.raises(StorageUnavailable):
        opened(database=f"sqlite:///{tmp_path}/no/such/folder/auth.db")


def test_a_busy_database_is_unavailable_and_uses_no_token_up(
    opened: Opener, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admit.service.storage._BUSY_SECONDS", 0.2)
    service = opened()
    service.users.add("alice", PASSWORD)
    pair = service.login("alice", PASSWORD)
    blocker = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        service.refresh(pair.refresh_token)
    with pytest.raises(StorageUnavailable):
        service.login("alice", PASSWORD)
    with pytest.raises(StorageUnavailable):
        service.ready()
    blocker.execute("ROLLBACK")
    blocker.close()
    service.ready()
    assert service.refresh(pair.refresh_token).session_id == pair.session_id


@pytest.mark.parametrize("fate", ["deleted", "moved", "replaced"])
def test_a_file_that_is_gone_is_unavailable_instead_of_written_in_vain(
    opened: Opener, tmp_path: Path, fate: str
) -> None:
    service = opened()
    sub = service.users.add("alice", PASSWORD).id
    service.ready()
    path, aside = tmp_path / "auth.db", tmp_path / "aside.db"
    path.rename(aside)
    if fate == "replaced":
        path.touch()
    for call in (lambda: service.logout_everywhere(sub), lambda: service.sessions(sub), service.ready):
        with pytest.raises(StorageUnavailable, match="deleted, moved or replaced"):
            call()
    assert service.readiness()["database"] == "down"
    assert path.exists() == (fate == "replaced")  # none is made in its place
    if fate == "moved":
        aside.rename(path)
        service.ready()
        assert service.sessions(sub) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_relative_name_is_the_same_file_wherever_the_process_goes(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service = opened(database="sqlite:///auth.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    service.users.add("alice", PASSWORD)
    service.ready()
    assert succeeds_in_a_child(service.ready)  # which opens it anew, as a daemon does
    assert list(Path().iterdir()) == []


def test_an_answered_change_survives_a_power_cut(service: TokenService) -> None:
    def modes(tx: Tx) -> list[object]:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        return [tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]

    assert service._core.write(modes) == ["wal", 2, 1]


def test_one_failing_call_leaves_its_neighbors_in_the_group_alone(service: TokenService) -> None:
    from sqlalchemy import insert

    def change(index: int) -> int:
        def run(tx: object) -> int:
            values = {"id": f"u{index}", "epoch": 0, "created_at": 0}
            tx.execute(insert(schema.users), [values])  # type: ignore[attr-defined]
            if index % 3 == 0:
                raise LookupError(index)
            return index

        return service._core.write(run)

    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(change, index) for index in range(90)]
    failed = {index for index, call in enumerate(calls) if call.exception() is not None}
    assert failed == set(range(0, 90, 3))
    assert {user.id for user in service.users.list()} == {f"u{index}" for index in range(90) if index % 3}


FORK = """
import os, sys
from admit.service.facade import TokenService
from admit.service.storage import Storage, Tx
service = TokenService(sys.argv[1], issuer="https://auth.example", audience="orders", master_key=bytes(range(32)))
service.start()
service.users.add("alice", "correct horse battery")
pair = service.login("alice", "correct horse battery")
door = service.verifier()
door.verify(pair.access_token)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            door.verify(pair.access_token)
            service.start()
            assert service._core.follower.follows()
            mine = service.login("alice", "correct horse battery")
            service.refresh(mine.refresh_token)
            service.logout(mine.refresh_token)
            try:
                door.verify(mine.access_token)
            except Exception as error:
                os._exit(0 if type(error).__name__ == "RevokedToken" else 4)
            os._exit(3)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(2)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
service.refresh(pair.refresh_token)
door.verify(pair.access_token)
service.close()
print(codes)
"""


def test_a_service_made_before_a_fork_works_in_every_child(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("[0, 0, 0]", "")


def test_no_error_of_the_database_shows_a_secret(service: TokenService, alice: str, url: str) -> None:
    pair = service.login("alice", PASSWORD)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TABLE admit_audit")
        connection.execute("ALTER TABLE admit_sessions RENAME TO elsewhere")
    connection.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: service.refresh(pair.refresh_token),
        lambda: service.login("alice", PASSWORD),
    )
    for call in calls:
        with pytest.raises(StorageUnavailable) as failed:
            call()
        assert PASSWORD not in str(failed.value)
        assert pair.refresh_token not in str(failed.value)
        assert failed.value.__cause__ is None


def test_no_connection_or_thread_is_left_behind_by_close(opened: Opener) -> None:
    import threading

    before = threading.active_count()
    service = opened()
    service.start()
    service.users.add("alice", PASSWORD)
    service.close()
    assert threading.active_count() == before
    assert os.getpid() not in service._storage._processes
