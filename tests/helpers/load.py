"""A service process under load: every answer it was given is printed before the next call is made.

Some threads refresh a session each, one logs in and out, one rotates keys. A database that is away is asked again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from admit.errors import Unavailable
from admit.service.facade import TokenService
from admit.service.policy import Policy

PASSWORD = "correct horse battery"
POLICY = Policy(grace=timedelta(), retry_window=timedelta(hours=1))
T = TypeVar("T")


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def until_answered(call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except Unavailable:
            say("away")
            time.sleep(0.02)


def main(url: str, *tokens: str) -> None:
    service = TokenService(
        url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)), policy=POLICY
    )

    def refresh(index: int, token: str) -> None:
        while True:
            token = until_answered(lambda token=token: service.refresh(token)).refresh_token  # type: ignore[misc]
            say("in", str(index), token)

    def in_and_out() -> None:
        while True:
            pair = until_answered(lambda: service.login("alice", PASSWORD))
            until_answered(lambda pair=pair: service.logout(pair.refresh_token))  # type: ignore[misc]
            say("out", pair.refresh_token, pair.access_token)

    def rotate() -> None:
        while True:
            until_answered(lambda: service.keys.rotate(force=True))
            say("rotated")
            time.sleep(0.05)

    work = [Thread(target=refresh, args=each, daemon=True) for each in enumerate(tokens)]
    work += [Thread(target=in_and_out, daemon=True), Thread(target=rotate, daemon=True)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
