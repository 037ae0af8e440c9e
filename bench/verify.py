"""Sign and verify with claims, side by side in one run: Admit, its peers, and the primitive that all of them call.

Every round measures every case once, odd rounds in reverse, so that a machine that drifts drifts for all of them. What is
taken is the thread's CPU time, which other processes cannot lengthen by being scheduled in between. The tables show medians
and half the interquartile range, in microseconds. Only ratios within one run mean anything.

    python bench/verify.py [--quick] [--rounds N] [--node DIR]

--node: a directory whose node_modules holds fast-jwt, jose and jsonwebtoken; they then run in one Node process beside this.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from typing import Any

from _peers import (  # type: ignore[import-not-found]  # beside this script
    AUDIENCE,
    CLIENT,
    FURTHER,
    ISSUER,
    PEERS,
    SCOPE,
    SUB,
    verifier,
)

from admit import InvalidToken, Key, Signer, Verifier

Call = Callable[[], object]
Timer = Callable[[int], float]
"""Runs a case that many times and answers the seconds."""

ALGORITHMS = ("HS256", "RS256", "PS256", "ES256", "Ed25519", "ML-DSA-65")


class Node:
    """The peers on Node, in one process: it times a case when asked, between the others."""

    def __init__(self, directory: str, cases: dict[str, dict[str, Any]]) -> None:
        script = Path(__file__).with_name("node_peers.cjs")
        command = ["node", str(script), directory]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions, self.names = self._ask(cases)

    def timer(self, name: str) -> Timer:
        return lambda count: float(self._ask([name, count]))

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, question: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# --- Measuring


def measure(cases: dict[str, Timer], rounds: int, sample: float) -> dict[str, list[float]]:
    """Microseconds a call, one number a round, with samples of about `sample` seconds."""
    counts: dict[str, int] = {}
    for name, timer in cases.items():
        timer(20)
        counts[name] = max(1, int(sample / max(timer(20) / 20, 1e-7)))
    found: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    gc.disable()
    for number in range(rounds):
        for name in list(cases) if number % 2 else list(cases)[::-1]:
            found[name].append(cases[name](counts[name]) / counts[name] * 1e6)
        gc.collect()
    gc.enable()
    return found


def timer(call: Call) -> Timer:
    def run(count: int) -> float:
        times, clock = repeat(None, count), time.thread_time
        start = clock()
        for _ in times:
            call()
        return clock() - start

    return run


def refusals(key: Key, signer: Signer, token: str) -> Iterator[tuple[str, Call]]:
    """Tokens that are refused, each by a step that does all it can before it refuses."""
    head, body, signature = token.split(".")
    late = verifier(key, clock=lambda: time.time() + 3600)
    turned = signature[:-4] + ("A" if signature[-4] != "A" else "B") + signature[-3:]
    yield "signature", _refused(verifier(key), f"{head}.{body}.{turned}")
    yield "expiry", _refused(late, token)
    yield "shape (four parts)", _refused(verifier(key), token + ".x")
    duplicated = signer._sign((data := f"{head}.{body[:-2]}").encode())
    yield "shape (cut payload, signed)", _refused(verifier(key), data + "." + duplicated.decode())


def kept(count: int) -> float:
    """Kilobytes by which the process has grown after verifying that many distinct tokens, with a cache and without."""
    key = Key.generate("HS256")
    signer, plain, cached = Signer(key, issuer=ISSUER, audience=AUDIENCE), verifier(key), verifier(key, cache=1000)

    def run(times: int) -> int:
        for _ in repeat(None, times):
            token = signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)
            plain.verify(token)
            cached.verify(token)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    return -run(min(count, 5000)) + run(count)


def _refused(door: Verifier[None], token: str) -> Call:
    def call() -> None:
        try:
            door.verify(token)
        except InvalidToken:
            return
        raise AssertionError("accepted")

    return call


# --- Showing


def cell(samples: list[float] | None) -> str:
    if not samples:
        return ""
    low, middle, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ±{(high - low) / 2:.{digits}f}"


def table(title: str, names: list[str], found: dict[str, list[float]], what: str) -> None:
    print(f"\n| {title} | {' | '.join(ALGORITHMS)} |\n|---|{'---|' * len(ALGORITHMS)}")
    for name in names:
        cells = [cell(found.get(f"{what} {alg} {name}")) for alg in ALGORITHMS]
        if any(cells):
            print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="two tiny rounds: that it works, not how fast")
    arguments.add_argument("--rounds", type=int, default=61)
    arguments.add_argument("--node", metavar="DIR", help="where node_modules with the Node peers is")
    given = arguments.parse_args()
    rounds, sample, count = (2, 0.0002, 500) if given.quick else (given.rounds, 0.002, 100_000)

    cases: dict[str, Timer] = {}
    node_cases: dict[str, dict[str, Any]] = {}
    for alg in ALGORITHMS:
        key = Key.generate(alg)
        signer = Signer(key, issuer=ISSUER, audience=AUDIENCE)
        token = signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)
        claims = verifier(key).verify(token)
        for name, (prepare, _) in PEERS.items():
            with suppress(Exception):  # it has no such algorithm: an empty cell
                for what, call in zip(("verify", "sign"), prepare(key, token, claims.raw), strict=True):
                    with suppress(NotImplementedError):
                        call()
                        cases[f"{what} {alg} {name}"] = timer(call)
        if alg in ("HS256", "ES256"):
            for name, call in refusals(key, signer, token):
                call()
                cases[f"refuse {alg} {name}"] = timer(call)
        if alg != "ML-DSA-65":
            jwk = key.to_jwk(private=True)
            node_cases[alg] = {"token": token, "payload": claims.raw, "jwk": jwk, "alg": alg}
            if alg != "HS256":
                node_cases[alg] |= {"public": key.to_pem().decode(), "private": key.to_pem(private=True).decode()}
    node = Node(given.node, node_cases | {"expect": {"iss": ISSUER, "aud": AUDIENCE}}) if given.node else None
    if node is not None:
        cases |= {name: node.timer(name) for name in node.names}

    size = len(claims.payload)
    print(
        f"Python {platform.python_version()}, {_machine()}; {len(claims.raw)} claims, {size} bytes of JSON; {rounds} rounds"
    )
    print(", ".join(f"{name} {version(name)}" for name in dict.fromkeys(item[1] for item in PEERS.values())))
    if node is not None:
        print(", ".join(node.versions))
    found = measure(cases, rounds, sample)
    names = list(PEERS) + sorted({name.split(" ", 2)[2] for name in (node.names if node else ())})
    table("verify, us", names, found, "verify")
    table("sign, us", names, found, "sign")
    if node is not None:
        node.close()

    def median(name: str) -> float:
        return statistics.median(found[name])

    print("\n| in this run | goal | measured |\n|---|---|---|")
    for what, alg, goal in GOALS:
        ratio = median(f"{what} {alg} PyJWT") / median(f"{what} {alg} Admit")
        print(f"| {alg} {what}: times the speed of PyJWT | at least {goal} | {ratio:.2f} |")
    for alg in ALGORITHMS[1:5]:
        above = median(f"verify {alg} Admit") - median(f"verify {alg} the primitive alone")
        print(f"| {alg} verify: us above the primitive | at most 7 | {above:.1f} |")
    print(
        f"| cache hit, fresh string, revocation checked: us | at most 1 | {median('verify HS256 Admit, cache hit'):.2f} |"
    )
    for name in [name for name in cases if name.startswith("refuse")]:
        alg, why = name.split(" ", 2)[1:]
        share = median(name) / median(f"verify {alg} Admit")
        print(f"| {alg} refused for its {why}: of one accepted | at most 1 | {share:.2f} |")
    if Path("/proc/self/statm").exists():
        print(f"| growth after {count:,} verifications of distinct tokens: kB | at most 1024 | {kept(count):.0f} |")


GOALS = (
    *(("verify", "HS256", 8), ("sign", "HS256", 5), ("verify", "RS256", 2.5), ("verify", "PS256", 2.5)),
    *(("verify", "ES256", 1.5), ("verify", "Ed25519", 1.4)),
)


def _machine() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
