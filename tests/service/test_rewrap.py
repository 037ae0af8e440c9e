"""A change of the master key: every secret under the new one, and nobody is logged out."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import LargeBinary, create_engine, func, insert, make_url, select, text, update

from admit import peek
from admit.errors import ConfigurationError, KeysUnavailable, StorageUnavailable
from admit.keyring.wrapping import WrongMasterKey
from admit.service import master, rewrap, schema, storage
from admit.service.facade import TokenService
from admit.service.storage import Storage, Tx
from tests.service.conftest import MASTER, PASSWORD, MovableClock, Opener

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres

NEW = bytes(range(32, 64))
BOTH = {1: MASTER, 2: NEW}


def _versions(url: str) -> set[int]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    rows = connection.execute(
        "SELECT private FROM admit_keys WHERE private IS NOT NULL UNION ALL SELECT wrapped FROM admit_secrets"
    ).fetchall()
    connection.close()
    return {int.from_bytes(wrapped[:2]) for (wrapped,) in rows}


def test_every_secret_moves_to_the_new_master_key_and_sessions_go_on(opened: Opener, url: str) -> None:
    before = opened(master_key=MASTER)
    before.users.add("alice", PASSWORD)
    pair = before.login("alice", PASSWORD)
    both = opened(master_key=BOTH)
    assert _versions(url) == {1}
    assert both.keys.rewrap() == 7  # active and standby of two uses, three secrets
    assert _versions(url) == {2}
    assert both.keys.rewrap() == 0
    after = opened(master_key={2: NEW})
    after.verifier().verify(pair.access_token)
    assert after.refresh(pair.refresh_token).session_id == pair.session_id


def test_a_rewrap_cut_short_leaves_both_readable_and_goes_on(opened: Opener, url: str) -> None:
    opened(master_key=MASTER)
    both = opened(master_key=BOTH)
    both._core.write(lambda tx: rewrap.rewrap(tx, both._core.master, 3))  # and then the process died
    assert _versions(url) == {1, 2}
    again = opened(master_key=BOTH)
    again.users.add("alice", PASSWORD)
    again.verifier().verify(again.login("alice", PASSWORD).access_token)
    assert again.keys.rewrap() == 4
    assert _versions(url) == {2}


def test_the_old_master_key_alone_opens_nothing_afterwards(opened: Opener) -> None:
    opened(master_key=MASTER)
    opened(master_key=BOTH).keys.rewrap()
    with pytest.raises(ConfigurationError, match="version 2"):
        opened(master_key=MASTER)


def test_a_destroyed_private_half_does_not_come_back(opened: Opener, url: str) -> None:
    service = opened(master_key=MASTER)
    service.keys.rotate()
    opened(master_key=BOTH).keys.rewrap()
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    [(private,)] = connection.execute("SELECT private FROM admit_keys WHERE state = 'retiring'").fetchall()
    connection.close()
    assert private is None


def test_while_processes_get_the_new_master_key_one_by_one_those_without_it_read_all_that_is_written(
    opened: Opener, url: str, clock: MovableClock
) -> None:
    old = opened(master_key=MASTER, clock=clock)
    old.users.add("alice", PASSWORD)
    new = opened(master_key=BOTH, clock=clock)
    new.keys.rotate(force=True)
    new.keys.rotate_mac()
    assert _versions(url) == {1}
    old._core.follower.look()
    pair = old.login("alice", PASSWORD)
    assert new.refresh(pair.refresh_token).session_id == pair.session_id
    restarted = opened(master_key=BOTH, clock=clock)  # now every process has both
    new.keys.rewrap()
    restarted.keys.rotate(force=True)  # by a process that was not told of it
    assert _versions(url) == {2}
    assert new.keys.rewrap() == 0
    last = opened(master_key={2: NEW}, clock=clock)
    assert last.refresh(pair.refresh_token).session_id == pair.session_id


def test_a_secret_left_under_an_old_master_key_is_told_of_when_a_service_opens_not_when_it_is_needed(
    opened: Opener,
) -> None:
    opened(master_key=MASTER)
    both = opened(master_key=BOTH)
    both._core.write(lambda tx: rewrap.rewrap(tx, both._core.master, 5))  # all but one: a standby, not needed yet
    with pytest.raises(ConfigurationError, match="version 1"):
        opened(master_key={2: NEW})
    both.keys.rewrap()
    opened(master_key={2: NEW})


def test_what_changes_while_it_is_wrapped_anew_is_not_written_over(opened: Opener, url: str) -> None:
    opened(master_key=MASTER)
    both = opened(master_key=BOTH)
    signing = next(key.kid for key in both.keys.list() if key.use == "access" and key.state == "active")
    unwrap = both._core.master.unwrap

    class Slow:
        """The master keys, held up amid a rewrap while another connection lets the key stop signing."""

        newest = 2
        version_of = both._core.master.version_of
        wrap = both._core.master.wrap

        def unwrap(self, kind: str, name: str, wrapped: bytes) -> bytes:
            if name == signing:
                changed.append(name)
                tx.execute(update(schema.keys).where(schema.keys.c.kid == name).values(private=None))
            return unwrap(kind, name, wrapped)

    changed: list[str] = []
    with both._storage._process().engine.connect() as connection:
        tx = connection
        rewrap.rewrap(Tx(connection, 1), Slow(), 100)  # type: ignore[arg-type]
    assert changed == [signing]
    assert _private(url, signing) is None


def _private(url: str, kid: str) -> bytes | None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    [(private,)] = connection.execute("SELECT private FROM admit_keys WHERE kid = ?", (kid,)).fetchall()
    connection.close()
    return private  # type: ignore[no-any-return]


def test_what_was_wrapped_under_the_old_master_key_is_in_no_file_while_services_run(opened: Opener, url: str) -> None:
    running, both = opened(master_key=MASTER), opened(master_key=BOTH)
    running.start()
    old = _wrapped(url, "SELECT private FROM admit_keys UNION ALL SELECT wrapped FROM admit_secrets")
    assert all(each in _everything(url) for each in old)
    both.keys.rewrap()
    assert not any(each in _everything(url) for each in old)


def test_a_private_half_that_was_destroyed_is_in_no_file_while_a_service_runs(opened: Opener, url: str) -> None:
    running = opened()
    running.start()
    [old] = _wrapped(url, "SELECT private FROM admit_keys WHERE use = 'access' AND state = 'active'")
    running.keys.rotate(force=True)
    assert old not in _everything(url)


def test_where_somebody_read_in_the_journal_it_is_emptied_later(opened: Opener, url: str) -> None:
    running, both = opened(master_key=MASTER), opened(master_key=BOTH)
    running.start()
    old = _wrapped(url, "SELECT private FROM admit_keys UNION ALL SELECT wrapped FROM admit_secrets")
    with _reading(url):
        both.keys.rewrap()
    assert all(each in _everything(url) for each in old)
    assert both.keys.rewrap() == 0
    assert not any(each in _everything(url) for each in old)
    [private] = _wrapped(url, "SELECT private FROM admit_keys WHERE use = 'access' AND state = 'active'")
    with _reading(url):
        both.keys.rotate(force=True)
    assert private in _everything(url)
    both._chores()
    assert private not in _everything(url)
    [private] = _wrapped(url, "SELECT private FROM admit_keys WHERE use = 'access' AND state = 'active'")
    with _reading(url):
        command = opened(master_key=BOTH)
        command.keys.rotate(force=True)
        command.close()  # it ends before the reader does
    both._core.follower.look()
    both._chores()
    assert private not in _everything(url)


def test_a_rewrap_that_is_cut_short_empties_the_journal_all_the_same(
    opened: Opener, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, both = opened(master_key=MASTER), opened(master_key=BOTH)
    running.start()
    monkeypatch.setattr("admit.service.keys._REWRAPPED", 5)
    write, calls = both._storage.write, []

    def once(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise StorageUnavailable("the database is away")
        return write(*args, **options)

    monkeypatch.setattr(both._storage, "write", once)
    with pytest.raises(StorageUnavailable):
        both.keys.rewrap()
    assert _versions(url) == {1, 2}
    assert not Path(url.removeprefix("sqlite:///") + "-wal").read_bytes()


@contextmanager
def _reading(url: str) -> Iterator[None]:
    reader = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM admit_keys").fetchall()
    try:
        yield
    finally:
        reader.close()


def test_whoever_reads_the_database_holds_up_no_step_of_the_keys(opened: Opener, url: str) -> None:
    service = opened()
    with _reading(url):
        service.keys.rotate(force=True)
        service.users.add("alice", PASSWORD)


def test_a_connection_overwrites_what_it_deletes() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA secure_delete = OFF")
    storage._prepare(connection, None)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


def _wrapped(url: str, query: str) -> list[bytes]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    rows = [wrapped for (wrapped,) in connection.execute(query) if wrapped]
    connection.close()
    return rows


def _everything(url: str) -> bytes:
    """What the database's file and those beside it hold."""
    path = Path(url.removeprefix("sqlite:///"))
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


@pytest.fixture
def pair(postgres: Postgres) -> Iterator[tuple[TokenService, TokenService]]:
    """Two services on one PostgreSQL: one with the old master key, one with both."""
    url = postgres.database()
    settings: dict[str, Any] = {"issuer": "https://auth.example", "audience": "orders"}
    with ExitStack() as stack:
        old = stack.enter_context(closing(TokenService(url, master_key=MASTER, **settings)))
        yield old, stack.enter_context(closing(TokenService(url, master_key=BOTH, **settings)))


_WAITS = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


def _somebody_waits(service: TokenService) -> bool:
    return bool(service._storage.read(lambda tx: tx.execute(_WAITS).scalar()))


def test_at_zero_nothing_is_under_way_that_lies_under_the_old_master_key(
    pair: tuple[TokenService, TokenService],
) -> None:
    old, both = pair
    sub = old.users.add("alice", PASSWORD).id
    wrapped, go_on = Event(), Event()

    def enroll(tx: Tx) -> None:
        seed = rewrap.wrap(tx, old._core.master, "TOTP seed", sub, bytes(20))
        wrapped.set()
        go_on.wait(20)
        tx.execute(insert(schema.totp), [{"user_id": sub, "seed": seed, "step": 0, "created_at": tx.now}])

    with ThreadPoolExecutor(2) as pool:
        enrolling = pool.submit(old._core.write, enroll)
        assert wrapped.wait(20)
        both.keys.rotate(force=True)  # an emergency waits for nobody's enrollment
        rewrapping = pool.submit(both.keys.rewrap)
        while not rewrapping.done() and not _somebody_waits(both):
            time.sleep(0.02)
        go_on.set()
        enrolling.result()
        assert rewrapping.result() == 8
    assert both._storage.read(rewrap.versions) == {2}


@pytest.mark.parametrize("what", ["rotate", "enroll"])
def test_a_rewrap_and_whoever_writes_secrets_never_wait_for_each_other(
    pair: tuple[TokenService, TokenService], what: str
) -> None:
    old, both = pair
    sub = old.users.add("alice", PASSWORD).id
    old.totp.enroll(sub)
    changes: dict[str, Callable[[], object]] = {
        "rotate": lambda: both.keys.rotate(force=True),
        "enroll": lambda: both.totp.enroll(sub),
    }
    begun = Event()

    def slowly(tx: Tx) -> int:
        rewrap._lock(tx, func.pg_advisory_xact_lock)
        begun.set()
        ends = time.monotonic() + 20
        while not _somebody_waits(both) and time.monotonic() < ends:
            time.sleep(0.02)
        return rewrap.rewrap(tx, both._core.master, 100)

    with ThreadPoolExecutor(2) as pool:
        rewrapping = pool.submit(both._core.write, slowly)
        assert begun.wait(20)
        pool.submit(changes[what]).result()
        assert rewrapping.result() == 8
    assert both._storage.failures == {}  # no deadlock that one of them had to give way in


def test_a_lone_statement_that_lost_to_another_one_runs_again_under_a_hosts_stricter_isolation(
    postgres: Postgres,
) -> None:
    url = postgres.database()
    host = create_engine(url, connect_args={"options": "-c default_transaction_isolation=serializable"})
    with closing(TokenService(url, issuer="https://a.example", audience="b", master_key=MASTER)), host.connect() as one:
        one.execute(update(schema.feed).values(longest_life=1))
        with closing(Storage(host)) as held, ThreadPoolExecutor(1) as pool:
            writing = pool.submit(
                held.write, lambda tx: tx.execute(update(schema.feed).values(longest_life=2)), single=True
            )
            while not held.read(lambda tx: tx.execute(_WAITS).scalar()) and not writing.done():
                time.sleep(0.02)
            one.commit()
            writing.result()
            assert held.failures == {"retried": 1}
            assert held.read(lambda tx: tx.execute(select(schema.feed.c.longest_life)).scalar()) == 2
    host.dispose()


def test_a_transaction_sees_the_newest_commit_whatever_the_databases_default(postgres: Postgres) -> None:
    url = postgres.database()
    name = make_url(url).database
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"))
    show = text("SHOW transaction_isolation")
    host = create_engine(url)
    for database in (url, host):
        with closing(Storage(database)) as held:
            assert held.write(lambda tx: tx.execute(show).scalar())[0] == "read committed"
    host.dispose()
    with closing(Storage(url)) as held:  # one statement by itself
        assert held.write(lambda tx: tx.execute(show).scalar(), single=True)[0] == "read committed"
    engine.dispose()


def test_every_column_that_is_wrapped_is_in_the_table_of_those_that_are_rewrapped() -> None:
    binary = [c for table in schema.metadata.sorted_tables for c in table.columns if isinstance(c.type, LargeBinary)]
    # Hashes open to nobody; a sealed successor opens under its own refresh token.
    others = {c for c in binary if any(part in c.name for part in ("hash", "previous", "digest", "successor"))}
    assert {row.column for row in rewrap.WRAPPED} == set(binary) - others


def test_a_master_key_in_files_has_its_versions_beside_it(opened: Opener, tmp_path: Path, url: str) -> None:
    path = tmp_path / "auth.db.key"
    first = opened(master_key=None)
    first.users.add("alice", PASSWORD)
    pair = first.login("alice", PASSWORD)
    (tmp_path / "auth.db.key.notes").write_text("no key")
    new = master.add_version(path)
    assert new == tmp_path / "auth.db.key.2"
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert opened(master_key=None).keys.rewrap() >= 6
    path.unlink()
    alone = opened(master_key=path)
    assert alone.refresh(pair.refresh_token).session_id == pair.session_id
    assert master.add_version(path) == tmp_path / "auth.db.key.3"
    new.unlink()
    with pytest.raises(ConfigurationError, match="version 2"):
        opened(master_key=path)
    (tmp_path / "auth.db.key.3").unlink()
    with pytest.raises(ConfigurationError, match="not there"):
        opened(master_key=path)
    with pytest.raises(ConfigurationError, match="not there"):
        master.add_version(path)


def test_two_keys_of_one_version_are_told_apart_before_either_host_locks_the_other_out(
    opened: Opener, url: str
) -> None:
    opened(master_key=MASTER)
    ours, theirs = opened(master_key=BOTH), opened(master_key={1: MASTER, 2: bytes(range(64, 96))})
    assert all(service.readiness()["master_key"] == "ok" for service in (ours, theirs))
    ours._core.write(lambda tx: rewrap.rewrap(tx, ours._core.master, 3))
    assert theirs.readiness()["master_key"] == "down"
    for change in (theirs.keys.rewrap, theirs.keys.rotate_mac, lambda: theirs.keys.rotate(force=True)):
        with pytest.raises(WrongMasterKey):
            change()
    ours.keys.rewrap()
    with pytest.raises(WrongMasterKey):
        opened(master_key={1: MASTER, 2: bytes(range(64, 96))})
    ours.keys.rotate(force=True)
    opened(master_key={2: NEW}).keys.rotate_mac()
    with pytest.raises(KeysUnavailable, match="does not open: version 2"):  # 503: another host can answer
        theirs._core.follower.look()


def test_a_process_that_cannot_open_the_keys_that_changed_signs_publishes_and_judges_nothing(
    opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    left = opened(master_key=MASTER)
    left.users.add("alice", PASSWORD)
    pair, verifier = left.login("alice", PASSWORD), left.verifier()
    both = opened(master_key=BOTH)
    both.keys.rewrap()
    verifier.verify(pair.access_token)  # the keys are those that it knows
    both.keys.revoke(peek(pair.access_token).header["kid"])
    time.sleep(1)
    for ask in (
        lambda: verifier.verify(pair.access_token),
        lambda: left.login("alice", PASSWORD),
        lambda: left.refresh(pair.refresh_token),
        left.jwks,
    ):
        with pytest.raises(KeysUnavailable, match="version 2"):
            ask()
    assert [record.levelname for record in caplog.records if "cannot be read" in record.message] == ["ERROR"]


def test_a_copy_of_a_master_key_is_no_new_version_and_other_files_are_none(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "auth.db.key"
    opened(master_key=None)
    (tmp_path / "auth.db.key.99999").write_bytes(NEW)
    opened(master_key=path)
    copy = tmp_path / "auth.db.key.2026"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(ConfigurationError, match="version 2026 of the master key is version 1"):
        opened(master_key=path)
    copy.unlink()
    path.write_bytes(path.read_bytes()[:31])
    with pytest.raises(ConfigurationError, match=r"auth\.db\.key has 31 bytes .* backup"):
        opened(master_key=path)
