"""AsyncTokenService: the same methods, awaited."""

from __future__ import annotations

import inspect

import anyio
import pytest

from admit.errors import InvalidGrant
from admit.service import aio
from admit.service.accounts import Users
from admit.service.clients import Clients
from admit.service.facade import TokenService
from admit.service.keys import Keys
from admit.service.totp import Totp
from tests.service.conftest import PASSWORD

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
