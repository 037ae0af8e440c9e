"""AsyncTokenService: the same methods, awaited."""

from __future__ import annotations

import asyncio
import inspect
from threading import Event, Thread

import anyio
import pytest

from admit.errors import InvalidGrant, StorageUnavailable
from admit.service import aio
from admit.service.accounts import Users
from admit.service.clients import Clients
from admit.service.facade import TokenService
from admit.service.keys import Keys
from admit.service.login_policy import LoginPolicy
from admit.service.totp import Totp
from tests.helpers.waiting import until
from tests.service.conftest import PASSWORD, Opener, cheap

PAIRS = [
    (TokenService, aio.AsyncTokenService),
    (Users, aio.AsyncUsers),
    (Clients, aio.AsyncClients),
    (Keys, aio.AsyncKeys),
    (Totp, aio.AsyncTotp),
]


def _methods(kind: type) -> dict[str, str]:
    return {
        name: str(inspect.signature(method))
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("plain", "awaited"), PAIRS)
def test_the_signatures_are_equal(plain: type, awaited: type) -> None:
    assert _methods(plain) == _methods(awaited)


def test_a_session_lives_and_ends_through_awaited_calls(service: TokenService) -> None:
    async def main() -> None:
        auth = aio.AsyncTokenService(service)
        user = await auth.users.add("alice", PASSWORD)
        pair = await auth.login("alice", PASSWORD)
        results = []

        async def one() -> None:
            results.append((await auth.refresh(pair.refresh_token)).refresh_token)

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(one)
        assert len(set(results)) == 1
        assert [session.sub for session in await auth.sessions(user.id)] == [user.id]
        await auth.logout(pair.refresh_token)
        with pytest.raises(InvalidGrant):
            await auth.refresh(results[0])
        assert await auth.keys.step() is False
        await auth.ready()

    anyio.run(main)


def test_several_event_loops_share_a_service_and_nobody_waits_for_a_wake_up_from_another(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = cheap(opened(logins=LoginPolicy(password_hashes=1)))
    auth = aio.AsyncTokenService(service)
    service.users.add("alice", PASSWORD)
    entered, go_on, check = Event(), Event(), service._core.passwords.check

    def held(stored: str | None, password: str) -> bool:
        entered.set()
        go_on.wait(30)
        return check(stored, password)

    async def crowd(count: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(auth.login, "alice", PASSWORD)

    monkeypatch.setattr(service._core.passwords, "check", held)
    loops = [Thread(target=anyio.run, args=(crowd, 6)) for _ in range(2)]  # four hold threads, two wait in the loop
    loops[0].start()
    assert entered.wait(30)
    until(lambda: auth.hashes == (4, 2))
    loops[1].start()
    until(lambda: auth.hashes == (8, 4))  # its places are its own
    go_on.set()
    for loop in loops:
        loop.join(30)
    assert len(service.sessions(service.users.list()[0].id)) == 12
    assert auth.hashes == (0, 0)


def test_a_call_that_is_cancelled_ends_at_once_and_its_thread_keeps_its_place(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio, "_THREADS", 1)
    auth, begun, go_on = aio.AsyncTokenService(service), Event(), Event()
    jwks = service.jwks

    def held() -> dict[str, object]:
        begun.set()
        go_on.wait(30)
        raise StorageUnavailable("nobody hears of it")

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(service, "jwks", held)
            first = asyncio.ensure_future(auth.jwks())
            while not begun.is_set():
                await asyncio.sleep(0.005)
        second = asyncio.ensure_future(auth.jwks())
        running = auth._threads.here().running
        while not running.statistics().tasks_waiting:
            await asyncio.sleep(0.005)
        for task in (first, second):
            task.cancel()
        await asyncio.wait((first, second))
        assert first.cancelled()
        assert second.cancelled()
        assert running.borrowed_tokens == 1
        third = asyncio.ensure_future(auth.jwks())
        await asyncio.sleep(0.05)
        assert running.statistics().tasks_waiting == 1  # the second has left the queue
        assert not third.done()
        go_on.set()
        assert await third == jwks()
        assert running.borrowed_tokens == 0

    asyncio.run(main())


def test_a_login_that_is_cancelled_keeps_its_turn_while_its_password_is_hashed(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = cheap(opened(logins=LoginPolicy(password_hashes=1)))
    service.users.add("alice", PASSWORD)
    auth, begun, go_on, check = aio.AsyncTokenService(service), Event(), Event(), service._core.passwords.check

    def held(stored: str | None, password: str) -> bool:
        begun.set()
        go_on.wait(30)
        return check(stored, password)

    async def main() -> None:
        monkeypatch.setattr(service._core.passwords, "check", held)
        login = asyncio.ensure_future(auth.login("alice", PASSWORD))
        while not begun.is_set():
            await asyncio.sleep(0.005)
        turns, free = auth._threads.here().turns, auth._threads.here().turns._free
        login.cancel()
        await asyncio.wait((login,))
        assert login.cancelled()
        assert (auth.hashes, turns._free) == ((1, 0), free)
        go_on.set()
        while auth.hashes != (0, 0):
            await asyncio.sleep(0.005)
        assert turns._free == free + 1

    asyncio.run(main())


def test_close_does_not_queue_behind_calls_that_hang(service: TokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "_THREADS", 1)
    auth, begun, go_on = aio.AsyncTokenService(service), Event(), Event()

    def held() -> dict[str, object]:
        begun.set()
        go_on.wait(30)
        return {}

    async def main() -> None:
        monkeypatch.setattr(service, "jwks", held)
        hanging = asyncio.ensure_future(auth.jwks())
        while not begun.is_set():
            await asyncio.sleep(0.005)
        await auth.close()
        assert not hanging.done()
        go_on.set()
        assert await hanging == {}

    asyncio.run(main())
