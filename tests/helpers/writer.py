"""A service process that revokes as fast as it can from several threads, and rolls back at random what it began.

It prints a line for each revocation that was committed, after its commit, and ends when its input does.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

from admit.errors import StorageUnavailable
from admit.service import revocation
from admit.service.facade import TokenService


class RolledBack(Exception):
    """Thrown into a transaction that has revoked something already."""


def main(url: str, name: str, threads: str, pause: str) -> None:
    service = TokenService(url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)))
    ended = threading.Event()

    def write(thread: int) -> None:
        dice, number = random.Random(f"{name} {thread}"), 0
        while not ended.is_set():
            number += 1
            values = [f"{name} {thread} {number} {each}" for each in range(dice.choice((1, 1, 1, 2, 5)))]
            undone = dice.random() < 0.3

            def change(tx: Any, values: list[str] = values, undone: bool = undone) -> None:
                revocation.cut_off(tx, *(revocation.CutOff("jti", value) for value in values))
                if undone:
                    raise RolledBack

            try:
                service._core.write(change)
            except (RolledBack, StorageUnavailable):
                continue
            sys.stdout.write("".join(f"{value}\n" for value in values))
            sys.stdout.flush()
            ended.wait(dice.uniform(0, 2 * float(pause)))

    running = [threading.Thread(target=write, args=(thread,)) for thread in range(int(threads))]
    for each in running:
        each.start()
    sys.stdin.read()
    ended.set()
    for each in running:
        each.join()
    service.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
