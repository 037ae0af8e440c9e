"""A database restored from a backup: what its sessions, its feed and its keys then do. On both databases."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from admit.errors import InvalidGrant
from admit.jose.keyset import KeySet
from admit.service import restored
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.tokens.revocation import Page
from tests.helpers.command import environment
from tests.service.conftest import PASSWORD

ROOT = Path(__file__).parents[2]
ISSUER = "https://auth.example"
POLICY = Policy(grace=timedelta(), retry_window=timedelta())


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """The URL of a database, and what makes a backup of it and answers the URL of what was restored from that."""
    if request.param == "sqlite":
        live = tmp_path / "live.db"

        def back_up() -> str:
            with sqlite3.connect(live) as there, sqlite3.connect(tmp_path / "backup.db") as here:
                there.backup(here)
            there.close()
            here.close()
            shutil.copy(tmp_path / "backup.db", tmp_path / "restored.db")
            return f"sqlite:///{tmp_path}/restored.db"

        yield f"sqlite:///{live}", back_up
    else:
        server = request.getfixturevalue("postgres")
        url = server.database()

        def dump() -> str:
            target = server.empty()
            programs = server.programs
            dumped = subprocess.run(
                [programs / "pg_dump", "-h", server.folder, "-U", "postgres", server.name(url)],
                capture_output=True,
                check=True,
            ).stdout
            subprocess.run(
                [programs / "psql", "-q", "-h", server.folder, "-U", "postgres", "-d", server.name(target)],
                input=dumped,
                capture_output=True,
                check=True,
            )
            return str(target)

        yield url, dump


def opened(url: str) -> TokenService:
    return TokenService(url, issuer=ISSUER, audience="orders", master_key=bytes(range(32)), policy=POLICY)


def page(service: TokenService, since: int | None, epoch: str | None) -> Page:
    return Page.read(service.feed(since, epoch).encode(), KeySet.from_jwks(service.feed_jwks()), ISSUER)


def test_what_a_restored_database_does_to_sessions_feed_and_keys(
    databases: tuple[str, Callable[[], str]], request: pytest.FixtureRequest
) -> None:
    url, back_up = databases
    live = opened(url)
    request.addfinalizer(live.close)
    live.users.add("alice", PASSWORD)
    used, unused, later_out = (live.login("alice", PASSWORD) for _ in range(3))
    live.logout(live.login("alice", PASSWORD).refresh_token)
    copy = back_up()
    rotated = live.refresh(used.refresh_token)
    live.logout(later_out.refresh_token)
    live.keys.rotate(force=True)
    after = live.login("alice", PASSWORD)
    epoch, head = live.feed_head()
    live.close()

    again = opened(copy)
    request.addfinalizer(again.close)
    again._storage.write(restored.renew)
    again._core.follower.look()
    # A session that rotated after the backup: its token is ahead; it is refused, and nothing ends.
    with pytest.raises(InvalidGrant):
        again.refresh(rotated.refresh_token)
    assert [each.event for each in again.audit(limit=1000)][-1] == "session.ahead"
    assert used.session_id in {each.id for each in again.sessions(used.sub)}
    # A session begun after the backup is not there; one that did not rotate goes on; one that was ended since is back.
    with pytest.raises(InvalidGrant):
        again.refresh(after.refresh_token)
    assert again.refresh(unused.refresh_token).session_id == unused.session_id
    assert again.refresh(later_out.refresh_token).session_id == later_out.session_id
    # Followers of the lost time get everything from the start, under a new epoch, and numbers above all they knew.
    told = page(again, head, epoch)
    assert told.full
    assert told.feed != epoch
    assert told.to >= head
    assert len(told.entries) == 1
    # The key that signs is the backup's; the standby of the lost time never signed anything here.
    door = again.verifier()
    assert door.verify(used.access_token).sub == used.sub
    assert door.verify(again.login("alice", PASSWORD).access_token).sub == used.sub


def test_without_being_told_a_follower_ahead_of_the_backup_still_gets_everything(
    databases: tuple[str, Callable[[], str]], request: pytest.FixtureRequest
) -> None:
    url, back_up = databases
    live = opened(url)
    request.addfinalizer(live.close)
    live.users.add("alice", PASSWORD)
    copy = back_up()
    live.logout(live.login("alice", PASSWORD).refresh_token)
    epoch, head = live.feed_head()
    live.close()
    again = opened(copy)
    request.addfinalizer(again.close)
    assert again.feed_head()[0] == epoch
    assert page(again, head, epoch).full


def test_the_command_tells_a_database_that_it_was_restored(tmp_path: Path) -> None:
    service = opened(f"sqlite:///{tmp_path}/admit.db")
    before = service.feed_head()[0]
    service.close()
    command = [sys.executable, "-m", "admit.cli", "admin", "db", "restored", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "revoked again" in done.stderr
    service = opened(f"sqlite:///{tmp_path}/admit.db")
    assert service.feed_head()[0] != before
    service.close()


LEAVE_A_JOURNAL = """
import os, sqlite3, sys
from tests.service.test_restored import PASSWORD, opened
url, backup = sys.argv[1:]
service = opened(url)
service.users.add("alice", PASSWORD)
with sqlite3.connect(url.removeprefix("sqlite:///")) as there, sqlite3.connect(backup) as here:
    there.backup(here)
service.users.add("mallory", PASSWORD)
os._exit(1)
"""


@pytest.mark.parametrize("host", ["the same", "another"])
def test_a_restore_as_the_documentation_has_it_takes_nothing_from_the_journal_of_before(
    tmp_path: Path, host: str
) -> None:
    data, backups, url = tmp_path / "d", tmp_path / "b", f"sqlite:///{tmp_path}/d/admit.db"
    data.mkdir(mode=0o700)
    backups.mkdir()
    command = [sys.executable, "-c", LEAVE_A_JOURNAL, url, str(backups / "copy.db")]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 1
    assert (data / "admit.db-wal").stat().st_size
    (backups / "copy.db").chmod(0o644)
    if host == "another":
        for each in data.iterdir():
            each.unlink()
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## Backup and restore")[2]
    program = page.partition("```text\n")[2].partition("```")[0]
    for here, there in (("systemctl stop admit", "true"), ("/var/lib/admit", data), ("/var/backups/admit", backups)):
        assert here in program
        program = program.replace(here, str(there))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment(), "PATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert (data / "admit.db").stat().st_mode & 0o077 == 0
    service = opened(url)
    assert [user.name for user in service.users.list()] == ["alice"]
    service.close()
