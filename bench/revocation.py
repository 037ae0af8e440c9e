"""What revocation costs a verifier: time for a token, and memory for the entries in force.

Every round measures every case once, in the thread's CPU time, as bench/verify.py does; the table shows what each case takes
more than a verify without revocations in the same round. Every token is as if it were seen for the first time.

    python bench/revocation.py [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice

from _peers import AUDIENCE, CLIENT, FURTHER, ISSUER, SCOPE, SUB, verifier  # type: ignore[import-not-found]
from verify import measure, timer  # type: ignore[import-not-found]  # beside this script

from admit import Key, Signer
from admit.tokens.revocation import Entry, EntryKind
from admit.tokens.revocation_set import RevocationSet

ROUNDS, SAMPLE = (30, 0.02) if "--quick" in sys.argv else (200, 0.05)
PAGE = 2_000  # entries, as a service sends them
MIXES: dict[str, dict[EntryKind, int]] = {
    "10,000 sessions": {"sid": 10_000},
    "100,000 sessions": {"sid": 100_000},
    "100,000 of every kind": {"jti": 10_000, "sid": 79_900, "sub": 10_000, "client": 90, "kid": 10},
}


def main() -> None:
    """Measure and print."""
    for alg in ("HS256", "ES256"):
        key = Key.generate(alg)
        signer = Signer(key, issuer=ISSUER, audience=AUDIENCE)
        token = signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER)
        sets = {name: RevocationSet(entries(mix)) for name, mix in MIXES.items()}
        cases = {"without": timer(call(verifier(key), token))}
        for name, cut in sets.items():
            cases[name] = timer(call(verifier(key, revocations=cut), token))
        found = measure(cases, ROUNDS, SAMPLE)
        without = found.pop("without")
        print(f"\n| {alg} verify | us without revocation: {statistics.median(without):.2f} |\n|---|---|")
        for name, times in found.items():
            more = [one - other for one, other in zip(times, without, strict=True)]
            print(f"| {name}: us more, at most 0.4 | {statistics.median(more):.2f} |")
    print("\n| a process that follows a feed | kB more than with none |\n|---|---|")
    for name in MIXES:
        print(f"| {name}{', under 1000' if 'sessions' in name else ''} | {memory(name):,.0f} |")


def call(door: object, token: str) -> Callable[[], object]:
    """One verification of the token."""
    verify = door.verify  # type: ignore[attr-defined]
    return lambda: verify(token)


def entries(mix: dict[EntryKind, int]) -> Iterator[Entry]:
    """Entries as a service would publish them."""
    for kind, count in mix.items():
        for number in range(count):
            ends, below = None if kind == "kid" else 2_000_000_000, 2 if kind == "sub" else None
            yield Entry.of(kind, f"{kind} {number}", seq=number + 1, exp=ends, epoch=below)


def memory(name: str) -> float:
    """The growth of a process of its own, in kB of resident memory, with the tokens that the set remembers."""
    done = subprocess.run([sys.executable, __file__, "memory", name], capture_output=True, text=True, check=True)
    return float(done.stdout)


def grow(name: str) -> None:
    """In that process: print the growth."""
    cut, key = RevocationSet(), Key.generate("HS256")
    signer, door = Signer(key, issuer=ISSUER, audience=AUDIENCE), verifier(key, revocations=cut)

    def use() -> None:
        for _ in range(300):
            door.verify(signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER))

    use()
    cut.apply(tuple(entries({"sid": PAGE})))
    cut.purge(2_100_000_000)
    before, all_of_them = resident(), entries(MIXES[name])
    while page := tuple(islice(all_of_them, PAGE)):
        cut.apply(page)
        del page  # before the next one is made: a follower holds one at a time
    use()
    print(resident() - before)


def resident() -> float:
    """This process's resident memory in kB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        grow(sys.argv[2])
    else:
        main()
