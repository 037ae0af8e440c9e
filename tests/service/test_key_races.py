"""Several processes and no leader: each takes the steps it finds due, and the keys come out as if there were one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from admit.service import schema
from admit.service.facade import TokenService
from tests.helpers.fleet import Fleet
from tests.service.conftest import MASTER, PASSWORD

CALLS = 12
PROCESSES = 3


class Race:
    def __init__(self, url: str) -> None:
        self.service = TokenService(url, issuer="https://auth.example", audience="orders", master_key=MASTER)
        self.service.users.add("alice", PASSWORD)
        self.fleet = Fleet(url, PROCESSES)

    def age(self) -> None:
        """Let every key have lived a month longer."""
        month = 31 * 86_400_000
        columns = (schema.keys.c.created_at, schema.keys.c.active_at, schema.keys.c.retiring_at)
        values = {column: column - month for column in columns}
        self.service._core.write(lambda tx: tx.execute(update(schema.keys).values(values)))

    def states(self) -> Counter[str]:
        return Counter(key.state for key in self.service.keys.list() if key.use == "access")

    def settled(self) -> int:
        """All processes step at once until none finds anything to do; how many steps were taken."""
        taken = 0
        while True:
            answers = self.fleet.at_once(*[["step"]] * CALLS)
            assert {tuple(answer) for answer in answers} <= {("answered True",), ("answered False",)}
            count = answers.count(["answered True"])
            if not count:
                return taken
            taken += count


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def race(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    folder: Path = tmp_path_factory.mktemp("keys")
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/auth.db" if on_sqlite else request.getfixturevalue("postgres").database()
    race = Race(url)
    yield race
    race.fleet.close()
    race.service.close()


def test_a_rotation_that_every_process_finds_due_is_taken_once(race: Race) -> None:
    for _ in range(3):
        race.settled()
        ordinals = [key.ordinal for key in race.service.keys.list() if key.use == "access"]
        race.age()
        taken = race.settled()
        assert (race.states()["active"], race.states()["pending"]) == (1, 1)
        new = [key.ordinal for key in race.service.keys.list() if key.use == "access"]
        assert new == [*ordinals, ordinals[-1] + 1]
        assert taken in (4, 6)  # of both uses: rotated, a standby added, and what retired the time before


def test_an_emergency_that_several_processes_act_on_at_once_costs_one_key(race: Race) -> None:
    race.settled()
    before = len(race.service.keys.list())
    kid = next(key.kid for key in race.service.keys.list() if (key.use, key.state) == ("access", "active"))
    answers = race.fleet.at_once(*[["revoke key", kid]] * 6, *[["step"]] * 6)
    assert {answer[0] for answer in answers} <= {"done", "answered True", "answered False"}
    race.settled()
    assert (race.states()["active"], race.states()["pending"]) == (1, 1)
    assert len(race.service.keys.list()) == before + 1
    race.service._core.follower.look()  # else it may sign with the revoked key for 200 ms more
    token = race.service.login("alice", PASSWORD).access_token
    race.fleet.everywhere("look")
    doors = race.fleet.at_once(*[["verify", token]] * PROCESSES)
    assert doors == [["done"]] * PROCESSES
