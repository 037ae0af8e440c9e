"""From "revoke" answered to refused everywhere: one `jwt serve`, and a hundred verifiers that follow it in other processes.

Each verifier is a RemoteIssuer of its own, with its own connection and its own set, 25 in each of four processes. A session is
logged out over HTTP; every verifier is asked for its access token every 5 ms until it refuses it. Times are of the system's
monotonic clock, from the answer to the logout to the first refusal. Then tokens are verified while the service counts what it
is asked, and 100,000 entries are made, to see what they take in each of the four processes.

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
from pathlib import Path

from _load import Connection  # type: ignore[import-not-found]  # beside this script
from _postgres import postgres  # type: ignore[import-not-found]  # beside this script

from admit import RemoteIssuer
from admit.errors import RevokedToken
from admit.service import revocation
from admit.service.facade import TokenService

PROCESSES, EACH = 4, 25
ROUNDS = 10 if "--quick" in sys.argv else 60
ENTRIES = 100_000
PASSWORD = "correct horse battery staple"
ADMIT = [sys.executable, "-m", "admit.cli"]


class Verifiers:
    """One of the four processes, told from here what to do."""

    def __init__(self, stack: ExitStack, url: str) -> None:
        command = [sys.executable, __file__, "verifiers", url]
        self.process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self.process.kill)
        self.answer()

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
            print(
                f"| kB a verifier for {ENTRIES:,} entries | under 1000 | {memory(url, folder / 'd', everybody):,.0f} |"
            )


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


def memory(url: str, data: Path, everybody: list[Verifiers]) -> float:
    """The greatest growth of a process, for each of its verifiers, in kB."""
    before = [_resident(each.process.pid) for each in everybody]
    service = TokenService(f"sqlite:///{data}/admit.db", issuer=url, audience="api", master_key=data / "master.key")
    for page in range(ENTRIES // 1000):
        what = [revocation.CutOff("sid", f"{page} {number}") for number in range(1000)]
        service._core.write(lambda tx, what=what: revocation.cut_off(tx, *what))  # type: ignore[misc]
    service.close()
    for each in everybody:
        each.tell("reach", ENTRIES)
    for each in everybody:
        each.answer()
    return max(_resident(each.process.pid) - start for each, start in zip(everybody, before, strict=True)) / EACH


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


def verifiers(url: str) -> None:
    """One of the four processes."""
    remotes = [RemoteIssuer(url, revocations="required") for _ in range(EACH)]
    doors = [remote.verifier(audience="api", cache=16) for remote in remotes]

    def watch(token: str) -> list[float]:
        for door in doors:
            door.verify(token)
        say(None)
        refused: dict[int, float] = {}
        while len(refused) < EACH:
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
        return times * EACH

    def reach(entries: int) -> None:
        while any(remote.revocations is None or len(remote.revocations) < entries for remote in remotes):
            time.sleep(0.1)

    for remote in remotes:
        remote.warm()
    say(None)
    calls: dict[str, Callable[..., object]] = {"watch": watch, "verify": verify, "reach": reach}
    for line in sys.stdin:
        name, *given = json.loads(line)
        say(calls[name](*given))


def say(what: object) -> None:
    """Answer the other process."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["verifiers"]:
        verifiers(sys.argv[2])
    else:
        main()
