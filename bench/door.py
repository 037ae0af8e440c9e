"""Requests a second through each door, on one uvicorn worker each, driven from this second process.

All the workers share one core and only one of them is asked at a time; the load comes from the other core. Every round asks
each once, odd rounds in reverse. Behind every door is the same endpoint. The tokens are fifty, presented in turn.

    python bench/door.py [--quick]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

from _door_apps import APPS  # type: ignore[import-not-found]  # beside this script
from _load import Connection, apart, rate  # type: ignore[import-not-found]
from _peers import AUDIENCE, CLIENT, FURTHER, ISSUER, SCOPE, SUB  # type: ignore[import-not-found]

from admit import Key, Signer

QUICK = "--quick" in sys.argv
ROUNDS, SECONDS, CLIENTS = (3, 0.3, 8) if QUICK else (9, 1.5, 8)


def main() -> None:
    """Measure and print."""
    for alg in ("ES256", "HS256"):
        key = Key.generate(alg)
        signer = Signer(key, issuer=ISSUER, audience=AUDIENCE)
        heads = [
            f"Authorization: Bearer {signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)}\r\n"
            for _ in range(50)
        ]
        with ExitStack() as stack:
            ports = {name: serve(stack, name, key) for name in APPS}
            with apart(*(pid for pid, _ in ports.values())):
                print_table(alg, {name: rates(port, heads) for name, (_, port) in ports.items()})


def serve(stack: ExitStack, name: str, key: Key) -> tuple[int, int]:
    """A uvicorn worker with that door: its process id and its port."""
    port = 0
    jwk = json.dumps((key if key.algorithm.symmetric else key.public()).to_jwk(private=key.algorithm.symmetric))
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "_door_apps:make", "--port", "0", "--no-access-log"],
            cwd=Path(__file__).parent,
            env={**os.environ, "BENCH_DOOR": name, "BENCH_KEY": jwk},
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(process.terminate)
    assert process.stderr is not None
    for line in process.stderr:
        if "running on" in line:
            port = int(line.partition("127.0.0.1:")[2].split()[0])
            break
    return process.pid, port


def rates(port: int, heads: list[str]) -> Callable[[], float]:
    """One measurement of one worker, after all of its tokens were seen once; a request without a token says who guards."""

    def make() -> Callable[[], object]:
        connection, turn = Connection(port), cycle(heads)
        return lambda: connection.get("/", next(turn))

    call = make()
    for _ in heads:
        call()
    return lambda: rate(CLIENTS, make, SECONDS)[0]


def print_table(alg: str, cases: dict[str, Callable[[], float]]) -> None:
    """Medians of the rounds, and what they are of the same framework's app without a door and with PyJWT."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(ROUNDS):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            taken[name].append(cases[name]())
            time.sleep(0.02)
    median = {name: statistics.median(each) for name, each in taken.items()}
    print(f"{alg + ', requests/s':28}{'median':>10}{'of no door':>14}{'of PyJWT':>12}")
    for name, each in median.items():
        framework = name.partition(":")[0]
        share, ratio = each / median[f"{framework}: no door"], each / median[f"{framework}: PyJWT"]
        print(f"{name:28}{each:>10,.0f}{share:>14.0%}{ratio:>12.2f}")


if __name__ == "__main__":
    main()
