"""An attack session in short: spraying, hammering, a flood, and asking who exists. The long form is tests/soak/test_attacks.py."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import sleep

import anyio
import pytest

from admit.errors import InvalidGrant, Overloaded, TooManyRequests
from admit.service.aio import AsyncTokenService
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from admit.service.turns import Lane, Line
from tests.service.conftest import PASSWORD, MovableClock, Opener, cheap

HOME = "198.51.100.7"


async def outcome(auth: AsyncTokenService, name: str, password: str, address: str) -> str:
    try:
        await auth.login(name, password, address=address)
    except (InvalidGrant, TooManyRequests, Overloaded) as error:
        return type(error).__name__
    return "in"


async def all_at_once(calls: list[tuple[str, str, str]], auth: AsyncTokenService) -> Counter[str]:
    counts: Counter[str] = Counter()

    async def one(name: str, password: str, address: str) -> None:
        counts[await outcome(auth, name, password, address)] += 1

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(one, *call)
    return counts


@pytest.fixture
def service(opened: Opener, clock: MovableClock) -> TokenService:
    service = cheap(opened(clock=clock, logins=LoginPolicy(password_queue=16)))
    for index in range(4):
        service.users.add(f"user{index}", PASSWORD)
    service.login("user0", PASSWORD, address=HOME)
    return service


def test_a_flood_from_one_address_neither_shuts_others_out_nor_makes_refreshes_wait(service: TokenService) -> None:
    auth = AsyncTokenService(service)
    pair = service.login("user1", PASSWORD)

    async def main() -> None:
        honest: list[str] = []
        async with anyio.create_task_group() as group:
            flood = [(f"user{index % 4}", "guess", "203.0.113.9") for index in range(150)]
            group.start_soon(all_at_once, flood, auth)
            await anyio.sleep(0)
            for index in range(4):
                honest.append(await outcome(auth, f"user{index}", PASSWORD, f"192.0.2.{index}"))
                await auth.refresh(pair.refresh_token)
        assert honest == ["in"] * 4

    anyio.run(main)


def test_a_flood_from_everywhere_keeps_strangers_out_and_nobody_who_is_at_home(service: TokenService) -> None:
    auth = AsyncTokenService(service)

    async def main() -> None:
        flood: Counter[str] = Counter()
        home: list[str] = []

        async def strangers() -> None:
            calls = [(f"user{index % 4}", "guess", f"10.0.{index}.1") for index in range(150)]
            flood.update(await all_at_once(calls, auth))

        async with anyio.create_task_group() as group:
            group.start_soon(strangers)
            while auth.hashes[1] < 16:  # the lane of strangers is full
                await anyio.sleep(0)
            home.extend([await outcome(auth, "user0", PASSWORD, HOME) for _ in range(3)])
        assert home == ["in"] * 3
        assert flood["Overloaded"] > 0

    anyio.run(main)


def test_a_lane_full_of_strangers_refuses_neither_a_known_place_nor_a_change_of_password(opened: Opener) -> None:
    """In threads, as an application without an event loop calls."""
    service = cheap(opened(logins=LoginPolicy(password_hashes=1, password_queue=1)))
    alice = service.users.add("alice", PASSWORD).id
    service.login("alice", PASSWORD, address=HOME)
    turns = service._core.turns
    stranger = partial(service.login, "nobody", PASSWORD, address="203.0.113.9")
    at_home = partial(service.login, "alice", PASSWORD, address=HOME)
    change = partial(service.change_password, alice, PASSWORD, PASSWORD + " too", address=HOME)
    with ThreadPoolExecutor(2) as pool:
        for known in (at_home, change):
            with turns.turn(Line(Lane.NEW, "busy")):
                waiting: list[Future[object]] = []
                for index, call in enumerate((stranger, known)):
                    waiting.append(pool.submit(call))
                    while turns.waiting == index and not waiting[-1].done():
                        sleep(0.001)
                with pytest.raises(Overloaded):
                    service.login("nobody else", PASSWORD, address="203.0.113.10")
            assert isinstance(waiting[0].exception(), InvalidGrant)
            assert waiting[1].exception() is None


def test_a_user_hammered_from_many_addresses_still_gets_in_from_home(service: TokenService) -> None:
    auth = AsyncTokenService(service)

    async def main() -> None:
        judged = 0
        for _ in range(2):
            for start in range(0, 60, 12):
                wave = [("user0", "guess", f"203.0.113.{start + index}") for index in range(12)]
                judged += (await all_at_once(wave, auth))["InvalidGrant"]
            assert await outcome(auth, "user0", PASSWORD, HOME) == "in"
        assert judged == LoginPolicy().failures_everywhere  # and then nobody who has not waited

    anyio.run(main)


def test_those_who_exist_and_those_who_do_not_are_answered_alike_at_every_step(service: TokenService) -> None:
    answers = {}
    for name in ("user2", "nobody", "not a name"):
        seen = []
        for _ in range(12):
            try:
                service.login(name, "guess", address=f"2001:db8:0:{len(name)}::1")
            except (InvalidGrant, TooManyRequests) as error:
                seen.append((type(error), str(error), error.public, error.code, getattr(error, "retry_after", None)))
        answers[name] = seen
    assert answers["user2"] == answers["nobody"] == answers["not a name"]
    assert answers["user2"][-1][0] is TooManyRequests
