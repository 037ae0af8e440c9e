"""Several processes, many clients, one database: one generation a round, one successor for all, nobody logged out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from admit.service.facade import TokenService
from admit.service.results import TokenPair
from admit.service.schema import sessions
from tests.helpers.fleet import Fleet
from tests.service.conftest import MASTER, PASSWORD

CLIENTS = 16
GRACE = 600  # seconds: no answer may be late, however busy the machine is; `aged` moves the rotation instead
ROUNDS = pytest.mark.parametrize("rounds", [5, pytest.param(1_000, marks=pytest.mark.soak)])


class Race:
    """A fleet, and a service here that logs in and looks at the rows."""

    def __init__(self, url: str, processes: int) -> None:
        self.service = TokenService(url, issuer="https://auth.example", audience="orders", master_key=MASTER)
        self.sub = self.service.users.add("alice", PASSWORD).id
        self.processes = processes
        self.fleet = Fleet(url, processes, grace=GRACE, retry_window=GRACE)

    def login(self) -> TokenPair:
        """The one session there is."""
        self.service.users.enable(self.sub)
        self.service.logout_everywhere(self.sub)
        return self.service.login("alice", PASSWORD)

    def generation(self, session_id: str) -> int:
        query = select(sessions.c.generation).where(sessions.c.id == session_id)
        return int(self.service._core.read(lambda tx: tx.execute(query).scalar_one()))

    def aged(self) -> None:
        """Let every last rotation lie before its grace."""
        self.service._core.write(lambda tx: tx.execute(update(sessions).values(rotated_at=1)))

    def refused(self, answers: list[list[str]]) -> list[bool]:
        """Whether what was answered leads nowhere now, its refresh token and, in every process, its access token."""
        self.fleet.everywhere("look")
        refreshed = self.fleet.at_once(*(["refresh", answer[1]] for answer in answers)) if answers else []
        verified = [self.fleet.at_once(*[["verify", answer[2]]] * self.processes) for answer in answers]
        for (kind, *said), doors in zip(refreshed, verified, strict=True):
            expected = {("done",)} if kind == "pair" else {("error", "RevokedToken")}
            assert kind == "pair" or said == ["InvalidGrant"]
            assert {tuple(door) for door in doors} == expected
        return [answer[0] == "error" for answer in refreshed]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def race(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/auth.db" if on_sqlite else request.getfixturevalue("postgres").database()
    race = Race(url, 4 if "soak" in request.config.option.markexpr.replace("not soak", "") else 2)
    yield race
    race.fleet.close()
    race.service.close()


def pairs(answers: list[list[str]]) -> set[str]:
    """The refresh tokens answered; a client that was answered anything else fails the test."""
    assert {answer[0] for answer in answers} == {"pair"}, answers
    return {answer[1] for answer in answers}


@ROUNDS
def test_everyone_who_refreshes_one_token_gets_one_successor(race: Race, rounds: int) -> None:
    token, session_id = (pair := race.login()).refresh_token, pair.session_id
    for generation in range(1, rounds + 1):
        (token,) = pairs(race.fleet.at_once(*[["refresh", token]] * CLIENTS))
        assert race.generation(session_id) == generation
        race.aged()


@ROUNDS
def test_dropped_answers_are_had_again(race: Race, rounds: int) -> None:
    dice = random.Random(20261124)
    token, session_id = (pair := race.login()).refresh_token, pair.session_id
    held = [token] * CLIENTS
    for generation in range(1, rounds + 1):
        late = range(CLIENTS)
        while late:  # whoever lost the answer asks again, with what it holds
            answers = race.fleet.at_once(*(["refresh", held[client]] for client in late))
            pairs(answers)
            arrived = {client: answer[1] for client, answer in zip(late, answers, strict=True) if dice.random() < 0.5}
            for client, successor in arrived.items():
                held[client] = successor
            late = [client for client in late if client not in arrived]  # type: ignore[assignment]
        assert len(set(held)) == 1
        assert race.generation(session_id) == generation
        race.aged()


@ROUNDS
def test_the_successor_used_at_once_beside_the_token_before_it_logs_nobody_out(race: Race, rounds: int) -> None:
    token, session_id = (pair := race.login()).refresh_token, pair.session_id
    for generation in range(1, rounds + 1):
        before = token
        (token,) = pairs(race.fleet.at_once(*[["refresh twice", before]] * CLIENTS))
        mixed = [["refresh", before if client % 2 else token] for client in range(CLIENTS)]
        assert pairs(race.fleet.at_once(*mixed)) == {token}
        assert race.generation(session_id) == generation
        race.aged()


@ROUNDS
@pytest.mark.parametrize("cut", ["logout", "log out everywhere", "disable", "set password"])
def test_no_refresh_and_no_login_comes_through_a_cut_off_that_it_races(race: Race, rounds: int, cut: str) -> None:
    for _ in range(max(2, rounds // 4)):
        token = race.login().refresh_token
        refresh = [["refresh", token]] * (CLIENTS // 2)
        login = [["login", "alice", PASSWORD]] * (0 if cut == "logout" else 2)
        order = {"logout": [token], "set password": [race.sub, PASSWORD]}.get(cut, [race.sub])
        done, *answers = race.fleet.at_once([cut, *order], *refresh, *login)
        assert done == ["done"]
        refreshed = [answer for answer in answers[: len(refresh)] if answer[0] == "pair"]
        logged_in = [answer for answer in answers[len(refresh) :] if answer[0] == "pair"]
        assert {tuple(answer) for answer in answers if answer[0] != "pair"} <= {("error", "InvalidGrant")}
        assert len({answer[1] for answer in refreshed}) <= 1
        assert all(race.refused(refreshed))
        # A login after the cut-off is a good one; a disabled user has none.
        good = [answer[3] for answer, refused in zip(logged_in, race.refused(logged_in), strict=True) if not refused]
        assert sorted(good) == sorted(session.id for session in race.service.sessions(race.sub))
        assert not (good and cut == "disable")
