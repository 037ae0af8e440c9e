"""Eight writers revoke at once in two processes, and roll back at random; followers join at random; none misses an entry."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from admit import KeySet
from admit.service.facade import TokenService
from admit.tokens.revocation import Entry, Page

WRITER = Path(__file__).parent.parent / "helpers" / "writer.py"
PROCESSES, THREADS = 2, 4


class Follower:
    """One that reads a service's feed by the rules of remote ones, until it is told to stop."""

    def __init__(self, service: TokenService) -> None:
        self.service, self.known, self.pages = service, set[str](), 0
        self.epoch: str | None = None
        self.seq: int | None = None

    def read(self, keys: KeySet) -> None:
        more = True
        while more:
            page = Page.read(self.service.feed(self.seq, self.epoch).encode(), keys, self.service.issuer)
            assert page.full or (page.feed == self.epoch and page.since <= (self.seq or 0) <= page.to)
            self.known |= {entry.digest for entry in page.entries}
            self.epoch, self.seq, more = page.feed, page.to, page.more
            self.pages += 1

    def follow(self, keys: KeySet, ended: threading.Event) -> None:
        while not ended.wait(random.uniform(0, 0.3)):
            self.read(keys)


def revoked(value: str) -> str:
    return Entry.of("jti", value, seq=1, exp=1).digest


@pytest.mark.once
@pytest.mark.parametrize(("seconds", "pause"), [(2, 0.02), pytest.param(60, 0.05, marks=pytest.mark.soak)])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_follower_ever_misses_an_entry(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, seconds: float, pause: float
) -> None:
    url = f"sqlite:///{tmp_path}/auth.db" if database == "sqlite" else request.getfixturevalue("postgres").database()
    ended, followers, threads, problems = threading.Event(), list[Follower](), list[threading.Thread](), list[str]()
    with ExitStack() as stack:
        services = [
            TokenService(url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)))
            for _ in range(2)
        ]
        for service in services:
            stack.callback(service.close)
        keys = KeySet.from_jwks(services[0].feed_jwks())
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(WRITER), url, str(number), str(THREADS), str(pause)],
                    stdin=subprocess.PIPE,
                    stdout=stack.enter_context((tmp_path / f"{number}").open("w")),
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        for writer in writers:
            stack.callback(writer.kill)
        ends = time.monotonic() + 30
        while not all((tmp_path / f"{number}").stat().st_size for number in range(PROCESSES)):
            assert time.monotonic() < ends
            time.sleep(0.05)

        def run(follower: Follower) -> None:
            try:
                follower.follow(keys, ended)
            except Exception as error:  # noqa: BLE001 - told to the test's own thread
                problems.append(repr(error))

        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if len(followers) < 40:
                followers.append(Follower(random.choice(services)))
                threads.append(threading.Thread(target=run, args=(followers[-1],)))
                threads[-1].start()
            time.sleep(random.uniform(0, seconds / 20))
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        for writer in writers:
            assert writer.wait(30) == 0
        ended.set()
        for thread in threads:
            thread.join()
        assert problems == []

        committed = {
            revoked(line) for number in range(PROCESSES) for line in (tmp_path / f"{number}").read_text().splitlines()
        }
        for service in services:
            service._core.follower.look()
        for follower in followers:
            time.sleep(follower.service.feed_due(follower.seq, follower.epoch))
            follower.read(keys)
            assert committed <= follower.known, f"{len(committed - follower.known)} were missed"
            assert follower.known <= committed, "what was rolled back was told"
        signed = sum(service._feed.signatures for service in services)
        print(
            f"{database}: {len(committed)} revocations of 8 writers in {seconds} s, {len(followers)} followers,"
            f" {sum(follower.pages for follower in followers)} pages, {signed} signatures of two services"
        )
