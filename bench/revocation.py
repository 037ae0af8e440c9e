"""What revocation costs a verifier: time for a token, and memory for the entries in force.

The verifier is a remote issuer's, and follows one feed over loopback, with the background thread and all, as a resource server has
it. Every round measures every case once, in the thread's CPU time and in an order that is drawn; each runs as long before it is
measured, so that most of what the others pushed out of the processor's caches is back. "More" is what a case takes more than
a verify without revocations in the same round, in the median. Where neither has revocations, it should be 0: what it is instead
says how far the others can be trusted. Every token is as if it were seen for the first time, but where it says "cached".

Microseconds differ between machines, and on a shared one from minute to minute, by twice and more. So PyJWT verifies a token of
the same claims in every round, by HS256: where that takes 48.6 us, as where the goal of 0.4 us was set, 0.4 us are 0.82 % of it.

Memory is what a process of its own grows by, resident, with one verifier: at first for following at all, a hundred pages of one
entry each, then for the entries and whatever it takes to read them.

    python bench/revocation.py [--quick]
"""

from __future__ import annotations

import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

from _followed import following, issuing, reach  # type: ignore[import-not-found]  # beside this script
from _peers import AUDIENCE, CLIENT, FURTHER, ISSUER, SCOPE, SUB, pyjwt  # type: ignore[import-not-found]
from verify import Timer, timer  # type: ignore[import-not-found]

from admit import Key, KeySet, Signer, Verifier
from admit.clock import random_id
from admit.tokens.revocation import Entry, EntryKind

ROUNDS = 10 if "--quick" in sys.argv else 150
SAMPLE = 0.02  # seconds
GOAL = 0.4 / 48.6 * 100  # percent of PyJWT's verification by HS256
TOKENS = 1000
BEFORE = 100
MIXES: dict[str, dict[EntryKind, int]] = {
    "10,000 sessions": {"sid": 10_000},
    "100,000 sessions": {"sid": 100_000},
    "10,000 sessions, a key": {"sid": 10_000, "kid": 1},
    "100,000 of every kind": {"jti": 10_000, "sid": 79_900, "sub": 10_000, "client": 90, "kid": 10},
}


def main() -> None:
    """Measure and print."""
    for alg in ("HS256", "ES256"):
        print(
            f"\n| {alg}, us | PyJWT, HS256 | without | without, again: more "
            f"| with: more, at most 0.4 or {GOAL:.2f} % of PyJWT's | cached | cached, with: more |\n|---|---|---|---|---|---|---|"
        )
        for name, mix in MIXES.items():
            print(f"| {name} | {times(alg, mix)} |", flush=True)
    print(
        "\n| kB of a process that follows a feed | for following at all | for the entries, under 1000 |\n|---|---|---|"
    )
    for name in ("10,000 sessions", "100,000 sessions", "100,000 of every kind"):
        following_costs, entries_cost = memory(name)
        print(f"| {name} | {following_costs:,.0f} | {entries_cost:,.0f} |")


def times(alg: str, mix: dict[EntryKind, int]) -> str:
    """The columns that say what a feed costs the verify of an algorithm."""
    key = Key.generate(alg)
    keys = KeySet([key if key.algorithm.symmetric else key.public()])
    # One key pair signs at the issuer's, so that it can be published; the tokens' own may be a secret.
    with (
        issuing(Key.generate("ES256"), entries(mix)) as issuer,
        following(issuer.url, sum(mix.values())) as remote,
    ):
        signer = Signer(key, issuer=issuer.url, audience=AUDIENCE)
        # Many sessions, with ids as a service makes them: for some the map of bits says maybe.
        sessions = [FURTHER | {"sid": random_id()} for _ in range(TOKENS)]
        tokens = [signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=claims) for claims in sessions]
        door, feed = partial(Verifier, keys, issuer=issuer.url, audience=AUDIENCE), remote.revocations
        doors = {
            "without": door(),
            "again": door(),
            "with": door(revocations=feed),
            "cached": door(cache=TOKENS),
            "cached, with": door(cache=TOKENS, revocations=feed),
        }
        calls = {name: partial(one_of, each.verify, cycle(tokens)) for name, each in doors.items()}
        found = measure({name: timer(call) for name, call in {"PyJWT": peer(), **calls}.items()})
    more = dict[str, list[float]]()
    for name, base in (("again", "without"), ("with", "without"), ("cached, with", "cached")):
        more[name] = [one - other for one, other in zip(found[name], found[base], strict=True)]
    share = statistics.median(100 * one / other for one, other in zip(more["with"], found["PyJWT"], strict=True))
    median = {name: f"{statistics.median(samples):.2f}" for name, samples in (found | more).items()}
    median["with"] += f", {share:.2f} %"
    return " | ".join(median[name] for name in found)


def measure(cases: dict[str, Timer]) -> dict[str, list[float]]:
    """Microseconds a call, one number a round; the order of every round is drawn."""
    counts = {name: int(SAMPLE / max(case(TOKENS) / TOKENS, 1e-7)) for name, case in cases.items()}
    found, order = {name: list[float]() for name in cases}, list(cases)
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        random.shuffle(order)
        for name in order:
            cases[name](counts[name])
            found[name].append(cases[name](counts[name]) / counts[name] * 1e6)
    gc.enable()
    return found


def peer() -> Callable[[], object]:
    """PyJWT, which verifies a token by HS256 with its claims."""
    key = Key.generate("HS256")
    signer = Signer(key, issuer=ISSUER, audience=AUDIENCE)
    token = signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)
    return pyjwt(key, token, {})[0]  # type: ignore[no-any-return]


def one_of(verify: Callable[[str], object], tokens: Iterator[str]) -> None:
    """Verify the next token."""
    verify(next(tokens))


def entries(mix: dict[EntryKind, int], *, after: int = 0) -> Iterator[Entry]:
    """Entries as a service would publish them, numbered from `after` on."""
    number = after
    for kind, count in mix.items():
        for _ in range(count):
            number += 1
            exp, below = None if kind == "kid" else 2_000_000_000, 2 if kind == "sub" else None
            yield Entry.of(kind, f"{kind} {number}", seq=number, exp=exp, epoch=below)


def memory(name: str) -> tuple[float, float]:
    """The growth of a process of its own, in kB of resident memory, for following at all and for the entries."""
    mix = MIXES[name]
    with issuing(Key.generate("ES256"), entries({"sid": 1})) as issuer:
        signer = Signer(issuer.key, issuer=issuer.url, audience=AUDIENCE)
        token = signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)
        command = [sys.executable, __file__, "grow", issuer.url, str(BEFORE + sum(mix.values())), token]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for number in range(1, BEFORE):
                time.sleep(0.12)  # a follower's pace
                issuer.cut_off(entries({"sid": 1}, after=number))
            first = float(process.stdout.readline())
            issuer.cut_off(entries(mix, after=BEFORE))
            return first, float(process.stdout.readline())


def grow(url: str, count: int, token: str) -> None:
    """In that process: print both growths."""
    before = resident()
    with following(url) as remote:
        reach(remote, BEFORE)
        door = remote.verifier(audience=AUDIENCE)

        def use() -> float:
            for _ in range(300):
                door.verify(token)
            return resident()

        warm = use()
        print(warm - before, flush=True)
        reach(remote, count)
        print(use() - warm, flush=True)


def resident() -> float:
    """This process's resident memory in kB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["grow"]:
        grow(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
