"""Login and refresh in other processes race a cut-off in this one: none survives it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from admit.errors import InvalidGrant
from admit.service.facade import TokenService

PASSWORD = "correct horse battery"
PROCESSES = 3

# Logs in (once, or again and again), refreshes what it has, and prints every refresh token that it was ever given.
CLIENT = """
import os, sys
from datetime import timedelta
from admit.errors import InvalidGrant, StorageUnavailable, TooManyRequests
from admit.service.facade import TokenService
from admit.service.policy import Policy

url, name, again = sys.argv[1:]
service = TokenService(url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)),
                       policy=Policy(grace=timedelta()))
token = None
while True:
    try:
        if token is None:
            token = service.login(name, "correct horse battery", address=f"host {os.getpid()}").refresh_token
            print(token, flush=True)
        for _ in range(3):
            token = service.refresh(token).refresh_token
            print(token, flush=True)
        if again == "again":
            token = None
    except (StorageUnavailable, TooManyRequests):
        continue
    except InvalidGrant:
        print("refused", flush=True)
        if again != "again":
            break
        token = None
"""

CUTS: dict[str, tuple[str, Callable[[TokenService, str], None]]] = {
    "disable": ("again", lambda service, sub: service.users.disable(sub)),
    "password change": ("again", lambda service, sub: service.users.set_password(sub, "battery staple horse")),
    "log out everywhere": ("once", lambda service, sub: service.logout_everywhere(sub)),
}


@pytest.mark.parametrize("cut", list(CUTS))
def test_no_session_of_another_process_survives(opened: Callable[..., TokenService], url: str, cut: str) -> None:
    again, act = CUTS[cut]
    service = opened()
    sub = service.users.add("alice", PASSWORD).id
    with ExitStack() as stack:
        clients = []
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", CLIENT, url, "alice", again]
            client = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(client.kill)  # before the context waits for its end
            clients.append(client)
        given: list[list[str]] = [[] for _ in clients]
        for client, tokens in zip(clients, given, strict=True):
            assert client.stdout is not None
            tokens += [client.stdout.readline().strip() for _ in range(5)]
        act(service, sub)
        assert service.sessions(sub) == []
        time.sleep(0.5)  # they go on trying: a login or refresh that was under way must not come through late
        for client in clients:
            client.kill()
        for client, tokens in zip(clients, given, strict=True):
            assert client.stdout is not None
            lines = client.stdout.read().split()
            assert "refused" in lines, "the cut-off never reached this process"
            tokens += lines
    assert service.sessions(sub) == []
    for tokens in given:
        newest = [token for token in tokens if token != "refused"][-4:]
        for token in newest:
            with pytest.raises(InvalidGrant):
                service.refresh(token)
