"""Load over HTTP from threads with raw keep-alive sockets, in another process than the service and on another core."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from urllib.parse import urlencode

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


class Connection:
    """One keep-alive connection that sends a request and reads its answer, with as little work as can be."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, status: int = 200, **form: str) -> dict[str, str]:
        body = urlencode(form)
        return self.ask(f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: {len(body)}\r\n\r\n{body}", status)

    def get(self, path: str, head: str = "") -> dict[str, str]:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n")

    def ask(self, request: str, status: int = 200) -> dict[str, str]:
        self.socket.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65536)
        assert head.startswith(b"HTTP/1.1 %d" % status), (head, body)
        answer: dict[str, str] = json.loads(body)
        return answer


def rate(clients: int, make: Callable[[], Callable[[], object]], seconds: float) -> tuple[float, float]:
    """(requests a second, the 99th percentile of one in milliseconds)."""
    calls = [make() for _ in range(clients)]
    start = Barrier(clients)

    def work(call: Callable[[], object]) -> list[float]:
        taken = []
        start.wait()
        ends = time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends:
            call()
            taken.append(time.perf_counter() - began)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        times = sorted(taken for part in pool.map(work, calls) for taken in part)
    return len(times) / seconds, times[int(len(times) * 0.99)] * 1000


@contextmanager
def apart(*pids: int) -> Iterator[None]:
    """The processes on the first core, and this one on the others, so that the load costs them nothing."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        if len(cores) > 1:
            for pid in pids:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), cores[:1])
            os.sched_setaffinity(0, cores[1:])
        yield
    finally:
        os.sched_setaffinity(0, cores)
