"""kill -9 of the service and of PostgreSQL at a random moment under load: nothing that was answered is undone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from admit.errors import InvalidGrant, InvalidToken
from admit.keyring.lifecycle import State
from admit.service.facade import TokenService
from tests.helpers.load import PASSWORD, POLICY
from tests.helpers.postgres import Postgres, missing

pytestmark = pytest.mark.once

LOAD = Path(__file__).parent.parent / "helpers" / "load.py"
SESSIONS = 4
SOME = 12  # logouts that are looked at again after a round; at the end it is all of them
ROUNDS = pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.soak)])


class Witness:
    """What was answered, over all rounds; and a service here that holds the database to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.service = TokenService(
            url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)), policy=POLICY
        )
        self.service.users.add("alice", PASSWORD)
        self.held = [self.service.login("alice", PASSWORD).refresh_token for _ in range(SESSIONS)]
        self.out: list[tuple[str, str]] = []
        self.heard: list[str] = []
        self.steps = self.refreshed = 0
        self.door = self.service.verifier()

    @contextmanager
    def load(self) -> Iterator[subprocess.Popen[str]]:
        """A process at work on the sessions; what it says is heard until it ends."""
        command = [sys.executable, str(LOAD), self.url, *self.held]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            listener = Thread(target=self._listen, args=(process,))
            listener.start()
            try:
                yield process
            finally:
                process.kill()
                listener.join(30)
        assert not listener.is_alive()

    def until(self, enough: Callable[[list[str]], bool]) -> None:
        ends = time.monotonic() + 30
        while not enough(self.heard):
            assert time.monotonic() < ends, self.heard[-5:]
            time.sleep(0.005)

    def lost_no_session(self) -> None:
        for index, token in enumerate(self.held):
            self.held[index] = self.service.refresh(token).refresh_token

    def forgot_no_revocation(self, out: list[tuple[str, str]]) -> None:
        self.service._core.follower.look()
        for refresh_token, access_token in out:
            with pytest.raises(InvalidGrant):
                self.service.refresh(refresh_token)
            with pytest.raises(InvalidToken):
                self.door.verify(access_token)

    def skipped_no_state(self) -> None:
        keys = [key for key in self.service.keys.list() if key.use == "access"]
        assert [key.ordinal for key in keys] == list(range(keys[0].ordinal, keys[0].ordinal + len(keys)))
        assert [key.state for key in keys].count(State.ACTIVE) == 1
        for key in keys:
            assert (key.active_at is None) == (key.state == State.PENDING)
            assert (key.retiring_at is not None) == (key.state in (State.RETIRING, State.RETIRED))

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith("\n"):
                return  # it was killed amid this word
            what, *rest = line.split()
            if what == "in":
                self.held[int(rest[0])] = rest[1]
                self.refreshed += 1
            elif what == "out":
                self.out.append((rest[0], rest[1]))
            elif what == "rotated":
                self.steps += 1
            self.heard.append(what)


@ROUNDS
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_service_killed_under_load_undoes_nothing_that_it_answered(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, rounds: int
) -> None:
    on_sqlite = database == "sqlite"
    url = f"sqlite:///{tmp_path}/auth.db" if on_sqlite else request.getfixturevalue("postgres").database()
    dice = random.Random(11)
    witness = Witness(url)
    try:
        for _ in range(rounds):
            begun = len(witness.heard)
            with witness.load() as process:
                witness.until(lambda heard, begun=begun: len(heard) > begun)  # type: ignore[misc]
                time.sleep(dice.random() * 0.2)
                process.send_signal(signal.SIGKILL)
            witness.lost_no_session()
            witness.forgot_no_revocation(dice.sample(witness.out, min(SOME, len(witness.out))))
            witness.skipped_no_state()
        witness.forgot_no_revocation(witness.out)
        print(f"{database}: {witness.refreshed} refreshes, {len(witness.out)} logouts, {witness.steps} rotations")
    finally:
        witness.service.close()


@ROUNDS
def test_postgresql_stopped_at_once_under_load_undoes_nothing_and_heals_by_itself(rounds: int) -> None:
    if why := missing():
        pytest.skip(why)
    server = Postgres()
    try:
        server.start()
        witness = Witness(server.database())
        dice = random.Random(12)
        with witness.load():
            for _ in range(rounds):
                begun = len(witness.heard)
                witness.until(lambda heard, begun=begun: "in" in heard[begun:])  # type: ignore[misc]
                time.sleep(dice.random() * 0.2)
                server.stop()
                server.start()
                begun = len(witness.heard)
                # Whoever was logged out would say no word any more.
                witness.until(lambda heard, begun=begun: {"in", "out", "rotated"} <= set(heard[begun:]))  # type: ignore[misc]
                witness.forgot_no_revocation(dice.sample(witness.out, min(SOME, len(witness.out))))
                witness.skipped_no_state()
        witness.lost_no_session()
        witness.forgot_no_revocation(witness.out)
        print(f"{witness.refreshed} refreshes, {len(witness.out)} logouts, {witness.steps} rotations")
        witness.service.close()
    finally:
        server.close()
