"""A change of the master key: every secret under the new one, and nobody is logged out."""

from __future__ import annotations

import sqlite3

import pytest

from admit.errors import ConfigurationError
from admit.service import rewrap
from tests.service.conftest import MASTER, PASSWORD, Opener

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
