"""Several workers, and the end of one: no request is dropped, who dies is replaced, nobody is left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from admit.server.connections import QUIET
from tests.helpers.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")


def children(pid: int) -> set[int]:
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


class Load:
    """Clients that ask again and again: some keep their connection, some open one for each request."""

    def __init__(self, url: str, token: str, clients: int = 4) -> None:
        self.url, self.token = url, token
        self.results: Counter[str] = Counter()
        self.ended = Event()
        self.threads = [Thread(target=self.work, args=(number % 2 == 0,)) for number in range(clients)]

    def work(self, keeps: bool) -> None:
        http, answered = httpx2.Client(timeout=20, trust_env=False), 0.0
        while not self.ended.is_set():
            if not keeps:
                http.close()
                http = httpx2.Client(timeout=20, trust_env=False)
            try:
                form = {"grant_type": "refresh_token", "refresh_token": self.token}
                answer = http.post(self.url + "/token", data=form)
                self.results[str(answer.status_code)] += 1
                answered = time.monotonic()
            except httpx2.ConnectError:  # it was never accepted: the next service in line takes it
                self.results["refused"] += 1
                time.sleep(0.01)
            except httpx2.HTTPError as error:
                if time.monotonic() - answered < QUIET or not keeps:  # whoever was quiet may have been taken for gone
                    self.results[type(error).__name__] += 1
        http.close()

    @contextmanager
    def at_work(self) -> Iterator[Counter[str]]:
        for thread in self.threads:
            thread.start()
        try:
            until(lambda: self.results["200"] > 20)
            yield self.results
        finally:
            self.ended.set()
            for thread in self.threads:
                thread.join(30)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., Any]) -> Path:
    """A data folder with its user alice."""
    folder = tmp_path_factory.mktemp("workers") / "d"
    serve(data=folder, start=False).add_user()
    return folder


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whoever_was_accepted_is_answered_before_the_end(serve: Callable[..., Any], data: Path, workers: str) -> None:
    service = serve("--workers", workers, data=data)
    with Load(service.url, service.login()["refresh_token"]).at_work() as results:
        code, stderr = service.stop()
    assert (code, stderr) == (0, "")
    assert results.keys() <= {"200", "refused"}, results


def test_a_client_that_pauses_is_told_before_its_connection_is_closed(serve: Callable[..., Any], data: Path) -> None:
    for _ in range(5):  # a busy machine makes longer pauses than are asked for
        service = serve(data=data)
        with socket.create_connection(("127.0.0.1", service.port)):  # one beside it that has gone quiet
            time.sleep(QUIET)
            assert service.http.get(service.url + "/healthz").status_code == 200
            asked = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            time.sleep(QUIET / 2)
            try:
                answer = service.http.get(service.url + "/healthz")
            except httpx2.TransportError:
                if time.monotonic() - asked < QUIET:
                    raise
                continue
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert service.stop() == (0, "")
        return
    raise AssertionError("too busy a machine")


def test_a_client_that_has_gone_quiet_holds_up_no_end(serve: Callable[..., Any], data: Path) -> None:
    def seconds_of_end(service: Any) -> float:
        begun = time.monotonic()
        assert service.stop() == (0, "")
        return time.monotonic() - begun

    seconds = []
    for _ in range(3):
        alone = seconds_of_end(serve(data=data))  # a busy machine takes longer for it, whoever is there
        service = serve(data=data)
        assert service.http.get(service.url + "/healthz").status_code == 200
        time.sleep(QUIET)
        seconds.append(seconds_of_end(service) - alone)
        if seconds[-1] < QUIET / 2:
            return
    raise AssertionError(seconds)


def test_followers_of_the_feed_are_answered_at_once_by_every_worker(serve: Callable[..., Any], data: Path) -> None:
    service = serve("--workers", "2", data=data)
    service.http.get(service.url + "/revocations")
    followers = [socket.create_connection(("127.0.0.1", service.port), timeout=20) for _ in range(8)]
    for follower in followers:
        follower.sendall(b"GET /revocations?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.3)
    begun = time.monotonic()
    assert service.stop()[0] == 0
    assert time.monotonic() - begun < 20  # a long poll takes 25 s; one that is cut off after 5 has no answer
    for follower in followers:
        assert follower.recv(100).startswith(b"HTTP/1.1 200")
        follower.close()


def test_a_killed_worker_is_replaced_while_the_other_serves(serve: Callable[..., Any], data: Path) -> None:
    service = serve("--workers", "2", data=data)
    before = children(service.process.pid)
    assert len(before) == 2
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    for _ in range(20):
        assert httpx2.get(service.url + "/readyz", trust_env=False).status_code == 200
    until(lambda: len(children(service.process.pid) - {killed}) == 2)
    code, stderr = service.stop()
    assert code == 0
    assert "ended by itself (signal SIGKILL)" in stderr


def test_sighup_replaces_every_worker_and_no_request_fails(serve: Callable[..., Any], data: Path) -> None:
    service = serve("--workers", "2", data=data)
    before = children(service.process.pid)
    with Load(service.url, service.login()["refresh_token"]).at_work() as results:
        service.process.send_signal(signal.SIGHUP)
        until(lambda: len(children(service.process.pid)) == 2 and not children(service.process.pid) & before)
    assert results.keys() == {"200"}, results
    assert service.stop() == (0, "")


def test_workers_do_not_outlive_their_supervisor(serve: Callable[..., Any], data: Path) -> None:
    service = serve("--workers", "3", data=data)
    workers = children(service.process.pid)
    service.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port), timeout=5)


@pytest.mark.parametrize("workers", ["0", "65"])
def test_a_number_of_workers_out_of_range_is_refused(serve: Callable[..., Any], data: Path, workers: str) -> None:
    with pytest.raises(AssertionError, match="from 1 to 64"):
        serve("--workers", workers, data=data)
