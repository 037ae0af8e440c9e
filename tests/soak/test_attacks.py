"""An attack session at full size, with passwords hashed at their real cost; `-s` shows the figures.

Slowed for the honest by what the machine has beside it: the bounds on time are those of an otherwise idle one.
"""

from __future__ import annotations

import os
import resource
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import anyio
import pytest

from admit.errors import InvalidGrant, Overloaded, TooManyRequests
from admit.service.aio import AsyncTokenService
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from tests.helpers.ranks import APART, apart

pytestmark = pytest.mark.soak
PASSWORD = "correct horse battery staple"
HOME = "198.51.100.7"
SHOWN = 200  # attempts: three for each of 20 users, and as many as were under way


@pytest.fixture(params=["sqlite", "postgresql"])
def auth(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncTokenService]:
    url = f"sqlite:///{tmp_path}/auth.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    service = TokenService(url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)))
    for index in range(20):
        service.users.add(f"user{index}", PASSWORD)
    service.users.add("visitor", PASSWORD)
    for index in range(3):
        service.login(f"user{index}", PASSWORD, address=HOME)
    yield AsyncTokenService(service)
    service.close()


async def outcome(auth: AsyncTokenService, name: str, password: str, address: str) -> str:
    try:
        await auth.login(name, password, address=address)
    except (InvalidGrant, TooManyRequests, Overloaded) as error:
        return type(error).__name__
    return "in"


async def session(
    auth: AsyncTokenService,
    monkeypatch: pytest.MonkeyPatch,
    attacks: list[tuple[str, str, str]],
    parallel: int,
    title: str,
    newcomers: float = 2,
) -> Counter[str]:
    """The attacks, so many at once; beside them honest logins from home, from new places, and refreshes, each timed.

    newcomers: seconds that a login from a new place may take, once the attack has shown its users or its addresses.
    """
    counts: Counter[str] = Counter()
    slowed: set[tuple[str, str]] = set()
    free: Counter[str] = Counter()  # guesses judged for each user, from where nobody had to wait before
    waits: list[float] = []
    visits: list[float] = []
    refreshes: list[float] = []
    retries = 0
    hashes: list[float] = []
    check = auth.sync._core.passwords.check

    def timed(stored: str | None, password: str) -> bool:
        start = perf_counter()
        try:
            return check(stored, password)
        finally:
            hashes.append(perf_counter() - start)

    monkeypatch.setattr(auth.sync._core.passwords, "check", timed)
    left = iter(attacks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = perf_counter()

    async def attack() -> None:
        for name, password, address in left:
            answer = await outcome(auth, name, password, address)
            counts[answer] += 1
            if answer == "TooManyRequests":
                slowed.add((name, address))
            elif answer == "InvalidGrant" and (name, address) not in slowed:
                free[name] += 1

    async with anyio.create_task_group() as group:

        async def honest() -> None:
            nonlocal retries
            pair = auth.sync.login("user1", PASSWORD, address=HOME)
            for turn in range(10):
                start = perf_counter()
                while await outcome(auth, f"user{turn % 3}", PASSWORD, HOME) != "in":
                    retries += 1
                    await anyio.sleep(0.2)
                waits.append(perf_counter() - start)
                start = perf_counter()
                await auth.refresh(pair.refresh_token)
                refreshes.append(perf_counter() - start)
                await anyio.sleep(0.1)

        async def visitor() -> None:
            for place in range(5):
                while place and counts.total() < SHOWN:
                    await anyio.sleep(0.1)
                start = perf_counter()
                while await outcome(auth, "visitor", PASSWORD, f"192.0.2.{place}") != "in":
                    await anyio.sleep(0.2)
                visits.append(perf_counter() - start)
                await anyio.sleep(0.5)

        group.start_soon(honest)
        group.start_soon(visitor)
        for _ in range(parallel):
            group.start_soon(attack)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"\n{title}, load {os.getloadavg()[0]:.1f}: {len(attacks)} attempts in {perf_counter() - begun:.1f} s, {dict(counts)}; "
        f"honest logins median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s, {retries} retries; "
        f"from new places {visits[0]:.2f} s as it began, then median {statistics.median(visits[1:]):.2f} s, longest "
        f"{max(visits[1:]):.2f} s; "
        f"refreshes longest {max(refreshes):.3f} s; "
        f"a hash median {statistics.median(hashes):.3f} s, longest {max(hashes):.3f} s; "
        f"at most {max(free.values())} guesses of a user without a wait; memory +{grown // 1024} MiB"
    )
    assert counts["in"] == 0
    assert max(free.values()) <= LoginPolicy().failures_everywhere
    assert (
        grown < 200 * 1024
    )  # each thread that hashes keeps its 19 MiB, and there are few of them; the rest is the first use
    assert max(waits) < 2
    assert max(visits[1:]) < newcomers
    assert max(refreshes) < 1
    return counts


def test_spraying_from_a_thousand_addresses(auth: AsyncTokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = [
        (f"user{index % 20}", f"Spring2026 {index}", f"10.{index // 250}.{index % 250}.1") for index in range(1000)
    ] * 2
    counts = anyio.run(session, auth, monkeypatch, attacks, 50, "spraying from 1,000 addresses")
    assert counts["InvalidGrant"] < 20 * 60  # each user's budget


def test_a_flood_of_names_that_never_come_twice_from_a_thousand_addresses(
    auth: AsyncTokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst for who is new: nothing is held against whoever attacks. It lasts until the addresses are used up."""
    attacks = [(f"nobody{index}", "guess", f"10.{index // 250}.{index % 250}.1") for index in range(1000)]
    counts = anyio.run(session, auth, monkeypatch, attacks, 50, "1,000 names from 1,000 addresses", 60)
    assert counts["InvalidGrant"] <= 1000


def test_one_user_hammered_from_two_hundred_addresses(auth: AsyncTokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = [("user0", f"guess {index}", f"10.0.{index % 200}.1") for index in range(4000)]
    counts = anyio.run(session, auth, monkeypatch, attacks, 50, "one user hammered from 200 addresses")
    assert counts["InvalidGrant"] < 100


def test_a_flood_of_logins_from_one_address(auth: AsyncTokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = [(f"user{index % 20}", f"guess {index}", "203.0.113.9") for index in range(4000)]
    counts = anyio.run(session, auth, monkeypatch, attacks, 500, "a flood from one address")
    assert counts["InvalidGrant"] <= 60


def test_who_exists_cannot_be_told_by_the_time(auth: AsyncTokenService) -> None:
    """Interleaved, so that what else the machine does is shared."""
    times: dict[str, list[float]] = {"exists": [], "does not": []}
    for index in range(150):
        for kind in times if index % 2 else reversed(times):
            name = f"user{index % 20}" if kind == "exists" else f"nobody{index % 20}"
            start = perf_counter()
            with pytest.raises(InvalidGrant):
                auth.sync.login(name, "guess", address=f"10.1.{index}.1")
            times[kind].append(perf_counter() - start)
    score = apart(*times.values())
    medians = [1000 * statistics.median(each) for each in times.values()]
    print(f"\nexists {medians[0]:.2f} ms, does not {medians[1]:.2f} ms, {score:.2f} standard deviations apart")
    assert score < APART
