"""From "revoke" answered to refused everywhere: one `jwt serve`, and a hundred verifiers that follow it in other processes.

Each verifier is a RemoteIssuer of its own, with its own connection and its own set, 25 in each of four processes. A session is
logged out over HTTP; every verifier is asked for its access token every 5 ms until it refuses it. Times are of the system's
monotonic clock, from the answer to the logout to the first refusal. Then tokens are verified while the service counts what it
is asked, and entries are made, to see by what they let grow a fifth process that holds one verifier, as a resource server does, and
each of the other four: at first 10,000, for what it takes to read pages, then 100,000 more. What it takes to follow at all is shown
beside it.

    python bench/propagation.py [--quick] [--postgres]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from _load import Connection  # type: ignore[import-not-found]  # beside this script
from _postgres import postgres  # type: ignore[import-not-found]  # beside this script

from admit import RemoteIssuer
from admit.errors import RevokedToken
from admit.service import revocation
from admit.service.facade import TokenService

PROCESSES, EACH = 4, 25
ROUNDS = 10 if "--quick" in sys.argv else 60
BEFORE, ENTRIES = 10_000, 100_000
PASSWORD = "correct horse battery staple"
ADMIT = [sys.executable, "-m", "admit.cli"]


class Verifiers:
    """One of the four processes, told from here what to do."""

    def __init__(self, stack: ExitStack, url: str, count: int = EACH) -> None:
        command = [sys.executable, __file__, "verifiers", url, str(count)]
        self.process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self.process.kill)
        self.following = float(self.answer())  # type: ignore[arg-type]  # kB that it takes to follow

    def tell(self, *what: object) -> None:
        """Begin."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def answer(self) -> object:
        """What came of it."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment, workers = dict(os.environ), 1
        if "--postgres" in sys.argv:
            server = stack.enter_context(postgres())
            assert server is not None
            environment |= {"ADMIT_DATABASE": server.database(), "ADMIT_ISSUER": "http://127.0.0.1:18411"}
            workers = 2
        flags = ["--data", str(folder / "d"), "--followers-per-address", "500"]
        ports = [_serve(stack, environment, flags, "18411" if workers > 1 and not n else "0") for n in range(workers)]
        admin = [*ADMIT, "admin", "users", "add", "alice", "--password-stdin", "--data", str(folder / "d")]
        subprocess.run(admin, input=PASSWORD, text=True, check=True, capture_output=True, env=environment)
        url = f"http://127.0.0.1:{ports[0]}"
        everybody = [Verifiers(stack, url) for _ in range(PROCESSES)]
        # Where there are two service processes, the other one than the verifiers follow is told to revoke.
        late = rounds(ports[-1], everybody)
        print(
            f"{PROCESSES * EACH} verifiers, {ROUNDS} logouts, {'PostgreSQL, two services' if workers > 1 else 'SQLite'}"
        )
        print("\n| seconds from revoked to refused | goal | measured |\n|---|---|---|")
        for share, goal in ((0.5, ""), (0.99, "under 1"), (1.0, "")):
            print(
                f"| {f'p{share * 100:.0f}' if share < 1 else 'slowest'} | {goal} | {late[int(share * (len(late) - 1))]:.3f} |"
            )
        if workers == 1:
            print(f"| requests for {asked(ports[0], everybody):,} verifications | 0 | {_REQUESTS[0]} |")
            alone = Verifiers(stack, url, 1)
            first, then = memory(url, folder / "d", [alone, *everybody])
            most = [max(found) / EACH for found in ([each.following for each in everybody], first[1:], then[1:])]
            print(f"\n| resident kB | goal | a process with one | each of {EACH} in one process |\n|---|---|---|---|")
            print(f"| to follow, before there are entries | | {alone.following:,.0f} | {most[0]:,.0f} |")
            print(f"| the first {BEFORE:,} entries | | {first[0]:,.0f} | {most[1]:,.0f} |")
            print(f"| {ENTRIES:,} more | under 1000 | {then[0]:,.0f} | {most[2]:,.0f} |")


def rounds(port: int, everybody: list[Verifiers]) -> list[float]:
    """Seconds of every verifier in every round, sorted."""
    late: list[float] = []
    connection = Connection(port)
    for _ in range(ROUNDS):
        tokens = connection.post("/login", username="alice", password=PASSWORD)
        for each in everybody:
            each.tell("watch", tokens["access_token"])
        for each in everybody:
            each.answer()  # every verifier has accepted it
        form = f"refresh_token={tokens['refresh_token']}".encode()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/logout", form).close()
        answered = time.monotonic()
        for each in everybody:
            late += [refused - answered for refused in each.answer()]  # type: ignore[attr-defined]
        time.sleep(1.0)  # so that the feed's burst of signatures is never used up
    return sorted(late)


_REQUESTS = [0]


def asked(port: int, everybody: list[Verifiers]) -> int:
    """Verify for a while; how often, and in _REQUESTS what the service was asked meanwhile but for its feed and this count."""
    connection = Connection(port)
    token = connection.post("/login", username="alice", password=PASSWORD)["access_token"]
    for each in everybody:
        each.tell("verify", token, 10)
    for each in everybody:
        each.answer()
    before = _count(port)
    for each in everybody:
        each.tell("verify", token, 400)
    done = sum(each.answer() for each in everybody)  # type: ignore[misc]
    _REQUESTS[0] = _count(port) - before
    return int(done)


def _count(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    counted = [line for line in lines if line.startswith("admit_http_requests_total")]
    return int(
        sum(float(line.split()[-1]) for line in counted if "/metrics" not in line and "/revocations" not in line)
    )


def memory(url: str, data: Path, everybody: list[Verifiers]) -> tuple[list[float], list[float]]:
    """The growth of each process in kB, for the first entries and for those after them."""
    service = TokenService(f"sqlite:///{data}/admit.db", issuer=url, audience="api", master_key=data / "master.key")
    seen = [[_resident(each.process.pid) for each in everybody]]
    for start, end in ((0, BEFORE), (BEFORE, BEFORE + ENTRIES)):
        for page in range(start, end, 1000):
            what = [revocation.CutOff("sid", f"{page} {number}") for number in range(1000)]
            service._core.write(lambda tx, what=what: revocation.cut_off(tx, *what))  # type: ignore[misc]
        for each in everybody:
            each.tell("reach", end)
        for each in everybody:
            each.answer()
        seen.append([_resident(each.process.pid) for each in everybody])
    service.close()
    first, then = ([b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(seen))
    return first, then


def _resident(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1000


def _serve(stack: ExitStack, environment: dict[str, str], flags: list[str], port: str) -> int:
    process = stack.enter_context(
        subprocess.Popen([*ADMIT, "serve", *flags, "--port", port], stdout=subprocess.PIPE, text=True, env=environment)
    )
    stack.callback(process.terminate)
    assert process.stdout
    return int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])


def verifiers(url: str, count: int) -> None:
    """One of the processes."""
    before = _resident(os.getpid())
    remotes = [RemoteIssuer(url, revocations="required") for _ in range(count)]
    doors = [remote.verifier(audience="api", cache=16) for remote in remotes]

    def watch(token: str) -> list[float]:
        for door in doors:
            door.verify(token)
        say(None)
        refused: dict[int, float] = {}
        while len(refused) < count:
            for number, door in enumerate(doors):
                if number not in refused:
                    try:
                        door.verify(token)
                    except RevokedToken:
                        refused[number] = time.monotonic()
            time.sleep(0.005)
        return list(refused.values())

    def verify(token: str, times: int) -> int:
        plain = [remote.verifier(audience="api") for remote in remotes]
        for _ in range(times):
            for door in plain:
                door.verify(token)
        return times * count

    def reach(entries: int) -> None:
        while any(remote.revocations is None or len(remote.revocations) < entries for remote in remotes):
            time.sleep(0.1)

    for remote in remotes:
        remote.warm()
    say(_resident(os.getpid()) - before)
    calls: dict[str, Callable[..., object]] = {"watch": watch, "verify": verify, "reach": reach}
    for line in sys.stdin:
        name, *given = json.loads(line)
        say(calls[name](*given))


def say(what: object) -> None:
    """Answer the other process."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["verifiers"]:
        verifiers(sys.argv[2], int(sys.argv[3]))
    else:
        main()
