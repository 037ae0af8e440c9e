"""What strangers may hold of a process: connections, and memory for requests that never become complete."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import uvicorn

from admit.server.connections import Connection, Connections
from admit.server.drain import Server
from admit.server.handshakes import Handshakes
from admit.server.requests import Draining
from tests.helpers.certificate import write_certificate
from tests.server.test_feed import page

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname, CLIENT.verify_mode = False, ssl.CERT_NONE
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


def ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it, after whatever it said."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def connect(service: Any, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))


def answers(connection: socket.socket, last: bytes = b"") -> bytes:
    """All that comes until it is closed, or until it ends so."""
    data = b""
    try:
        while (more := connection.recv(65536)) and not (last and data.endswith(last)):
            data += more
            if last and data.endswith(last):
                break
    except ConnectionError:
        pass
    return data


def status(service: Any, path: str) -> int:
    return httpx2.get(service.url + path, timeout=20, trust_env=False).status_code


def test_who_does_not_send_a_head_within_ten_seconds_is_closed(service: Any) -> None:
    with ExitStack() as stack:
        silent, slow, again, blank = (connect(service, stack) for _ in range(4))
        for each in (again, blank):  # a first request does not buy time for the second
            each.sendall(HEAD + b"\r\n")
            assert answers(each, b'{"status":"ok"}')
        again.sendall(HEAD)
        begun = time.monotonic()
        left = {"silent": silent, "slow": slow, "again": again, "blank": blank}
        slow.sendall(HEAD)
        while left:
            assert time.monotonic() - begun < 20, left.keys()
            time.sleep(0.5)
            left = {name: each for name, each in left.items() if not ended(each)}
            for name, byte in (("slow", b"X"), ("again", b"X"), ("blank", b"\r\n")):
                if name in left:
                    with suppress(OSError):
                        left[name].sendall(byte)
        assert time.monotonic() - begun > 8


def test_who_does_not_shake_hands_is_closed_as_soon(serve: Callable[..., Any], tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    service = serve("--tls-cert", str(files["ssl_certfile"]), "--tls-key", str(files["ssl_keyfile"]))
    with ExitStack() as stack:
        connection, begun = connect(service, stack), time.monotonic()
        assert answers(connection) == b""
        assert 8 < time.monotonic() - begun < 18


@pytest.mark.parametrize("head", [HEAD + b"X: ", HEAD + b"X: y\r\n" * 9000, b"GET /" + b"x" * 66000, b"\r\n" * 33000])
def test_a_head_that_grows_without_an_end_is_refused(service: Any, head: bytes) -> None:
    with ExitStack() as stack:
        connection, begun = connect(service, stack), time.monotonic()
        answer = b""
        try:
            connection.sendall(head)
            for _ in range(20):
                connection.sendall(b"z" * 60_000)
        except ConnectionError:
            pass  # its buffers held more than it could say
        else:
            answer = answers(connection)
        assert time.monotonic() - begun < 8  # not because it took too long
        assert answer == b"" or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        assert ended(connection)


def test_a_large_head_that_is_complete_is_answered_as_is_what_follows_a_body(service: Any) -> None:
    with ExitStack() as stack:
        connection = connect(service, stack)
        connection.sendall(HEAD + b"X: " + b"z" * 60_000 + b"\r\n\r\n")
        assert answers(connection, b'{"status":"ok"}').startswith(b"HTTP/1.1 200")
        body = b"grant_type=x&y=" + b"z" * 50_000
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        post = b"POST /token HTTP/1.1\r\nHost: x\r\n" + form + b"Content-Length: %d\r\n\r\n" % len(body) + body
        connection.sendall(post + post + HEAD)
        connection.sendall(b"\r\n")
        answer = answers(connection, b'{"status":"ok"}')
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"400", b"400", b"200"]


def test_requests_that_stand_behind_each_other_are_answered_up_to_a_number(service: Any) -> None:
    with ExitStack() as stack:
        some, many = connect(service, stack), connect(service, stack)
        some.sendall((HEAD + b"\r\n") * 50 + HEAD + b"Connection: close\r\n\r\n")
        assert answers(some).count(b"HTTP/1.1 200") == 51
        with suppress(ConnectionError):
            many.sendall((HEAD + b"\r\n") * 5000)
        assert answers(many).count(b"HTTP/1.1 200") < 5000
        assert ended(many)


@pytest.fixture
def small(serve: Callable[..., Any]) -> Any:
    """One that may open 400 files."""
    pytest.importorskip("resource")
    service = serve(start=False)
    service.start("tests.helpers.limited", "200", "400")
    return service


def test_the_soft_limit_of_files_is_raised_to_the_hard_one_and_what_does_not_fit_is_said(small: Any) -> None:
    limits = Path(f"/proc/{small.process.pid}/limits")
    if limits.exists():
        [line] = [line.split() for line in limits.read_text().splitlines() if line.startswith("Max open files")]
        assert line[3:5] == ["400", "400"]
    code, stderr = small.stop()
    assert code == 0
    assert "1000 followers do not fit into the 400 files" in stderr


def test_idle_connections_make_room_for_whoever_comes(small: Any) -> None:
    with ExitStack() as stack:
        idle = [connect(small, stack) for _ in range(500)]
        for _ in range(5):  # no 503 to the first who asks, either
            assert status(small, "/.well-known/jwks.json") == status(small, "/healthz") == 200
        assert ended(idle[0])
        assert not ended(idle[-1])
    code, stderr = small.stop()
    assert code == 0
    assert stderr.count("those that have waited longest are closed") == 1


@pytest.fixture
def secure(serve: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    """One that may open 400 files, and terminates TLS itself."""
    pytest.importorskip("resource")
    files = write_certificate(tmp_path)
    service = serve("--tls-cert", str(files["ssl_certfile"]), "--tls-key", str(files["ssl_keyfile"]), start=False)
    service.start("tests.helpers.limited", "200", "400")
    trust = ssl.create_default_context(cafile=files["ssl_certfile"])
    with httpx2.Client(timeout=20, trust_env=False, verify=trust) as service.http:
        yield service


def test_who_never_shakes_hands_makes_room_too(secure: Any) -> None:
    with ExitStack() as stack:
        silent = [connect(secure, stack) for _ in range(500)]
        for _ in range(5):
            for path in ("/.well-known/jwks.json", "/readyz"):
                answer = secure.http.get(secure.url + path, headers={"Connection": "close"})
                assert answer.status_code == 200
        assert ended(silent[0])
        assert not ended(silent[-1])
    code, stderr = secure.stop()
    assert code == 0
    assert stderr.count("those that have waited longest are closed") == 1


def test_who_never_shakes_hands_holds_up_no_end(secure: Any) -> None:
    with ExitStack() as stack:
        silent = [connect(secure, stack) for _ in range(8)]
        assert secure.http.get(secure.url + "/healthz", headers={"Connection": "close"}).status_code == 200
        code, stderr = secure.stop()
        assert (code, "graceful shutdown exceeded" in stderr) == (0, False)
        assert all(ended(each) for each in silent)


def test_the_place_of_who_is_closed_is_free_at_once() -> None:
    class Held:
        closed = False

        def abort(self) -> None:
            self.closed = True

    state, held = Connections(2), [Held(), Held(), Held()]
    for each in held:
        state.add(cast("Connection", each))
    assert [each.closed for each in held] == [True, False, False]
    assert len(state.connections) == 2  # else whoever asks before the loop comes round would get 503


def with_tls(tmp_path: Path) -> uvicorn.Config:
    """Of an application that has nothing to say."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    files = write_certificate(tmp_path)
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, ssl_certfile=files["ssl_certfile"], ssl_keyfile=files["ssl_keyfile"]
    )
    config.load()
    return config


def test_who_is_closed_before_the_handshake_began_is_gone(tmp_path: Path) -> None:
    async def main(listener: socket.socket) -> None:
        config, state = with_tls(tmp_path), Connections(100)
        handshakes = Handshakes(listener, config, lambda: Connection(config, state, {}))
        client = socket.create_connection(listener.getsockname(), timeout=20)
        listener.setblocking(True)
        handshakes.take(listener.accept()[0])
        [connection] = state.connections
        connection.shutdown()
        async with asyncio.timeout(20):
            while state.connections or not ended(client):
                await asyncio.sleep(0.01)
        handshakes.close()
        client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(main(listener))


def test_who_stands_in_the_queue_when_the_process_ends_may_shake_hands(tmp_path: Path) -> None:
    def ask(connection: socket.socket) -> bytes:
        with CLIENT.wrap_socket(connection) as shaken:
            shaken.sendall(HEAD + b"\r\n")
            return shaken.recv(12)

    async def main(listener: socket.socket) -> list[bytes]:
        config = with_tls(tmp_path)
        server = Server(config, Draining(), Connections(100), started=lambda: None, stopping=lambda: None)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        address = listener.getsockname()
        queue = [socket.create_connection(address, timeout=20) for _ in range(8)]
        await server._accept_the_last([listener])
        with pytest.raises(ConnectionRefusedError):  # nobody would be there
            socket.create_connection(address, timeout=20)
        return await asyncio.gather(*(asyncio.to_thread(ask, each) for each in queue))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert asyncio.run(main(listener)) == [b"HTTP/1.1 204"] * 8


def test_the_end_comes_though_no_handle_is_left(tmp_path: Path) -> None:
    async def main(listener: socket.socket) -> None:
        config = with_tls(tmp_path)
        server = Server(config, Draining(), Connections(9), started=lambda: None, stopping=lambda: None)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        gone = socket.socket()
        gone.close()  # it has no copy either
        await server._accept_the_last([gone])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(main(listener))


def test_bodies_that_never_end_make_room_too(small: Any) -> None:
    post = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    with ExitStack() as stack:
        owing = [connect(small, stack) for _ in range(500)]
        for each in owing:
            with suppress(ConnectionError):
                each.sendall(post)
        for _ in range(5):
            assert status(small, "/healthz") == status(small, "/.well-known/jwks.json") == 200
            assert small.refresh("nonsense").status_code == 400
        assert ended(owing[0])
    code, stderr = small.stop()
    assert code == 0
    assert stderr.count("those that have waited longest are closed") == 1


def test_answers_that_nobody_reads_make_room_too(serve: Callable[..., Any]) -> None:
    pytest.importorskip("resource")
    service = serve(start=False)
    service.start("tests.helpers.limited", "200", "300")  # 44 places
    with ExitStack() as stack:
        deaf = [stack.enter_context(socket.socket()) for _ in range(44)]
        for each in deaf:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.settimeout(20)
            each.connect(("127.0.0.1", service.port))
        for _ in range(2):  # 6 MB of answers: more than the system takes off the service's hands
            for each in deaf:
                each.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60)
                time.sleep(0.05)
        for _ in range(5):
            assert status(service, "/healthz") == status(service, "/.well-known/jwks.json") == 200
            assert service.refresh("nonsense").status_code == 400
    assert service.stop()[0] == 0


def test_when_every_place_is_taken_health_checks_are_answered_and_the_others_told_so(serve: Callable[..., Any]) -> None:
    pytest.importorskip("resource")
    slow = ("--argon2-passes", "40", "--password-hashes", "1", "--failures-per-address", "500")
    small = serve("--followers-per-address", "1000", *slow, start=False)
    small.start("tests.helpers.limited", "200", "400")
    head = page(small)
    poll = f"GET /revocations?since={head.to}&epoch={head.feed}&wait=25 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    login = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 35\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(108):  # all that may
            connect(small, stack).sendall(poll)
        for number in range(300):  # each waits for its turn to be hashed, so that they take the places left
            connect(small, stack).sendall(login + b'{"username":"u%03d","password":"pw"}' % number)
            if number > 36 and status(small, "/.well-known/jwks.json") == 503:
                break
        else:
            pytest.fail("nobody was told so")
        assert status(small, "/healthz") == status(small, "/readyz") == 200
        for _ in range(5):
            status(small, "/.well-known/jwks.json")
    code, stderr = small.stop()
    assert code == 0
    assert stderr.count("Exceeded concurrency limit") == 1
