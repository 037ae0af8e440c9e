"""Behind a proxy: only what the proxy says is believed, and only where it says https."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from admit.errors import ConfigurationError
from admit.server.proxy import parse_networks, within
from tests.helpers.certificate import write_certificate

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def behind(serve: Callable[..., Any]) -> Any:
    service = serve(
        "--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "10.9.0.0/16", "--issuer", "https://auth.example"
    )
    service.add_user()
    return service


def login(service: Any, *headers: tuple[str, str]) -> httpx2.Response:
    form = {"username": "alice", "password": PASSWORD}
    return httpx2.post(service.url + "/login", data=form, headers=list(headers))


def address(service: Any) -> str:
    with sqlite3.connect(f"file:{service.data / 'admit.db'}?mode=ro", uri=True) as connection:
        row = connection.execute("SELECT address FROM admit_sessions ORDER BY rowid DESC LIMIT 1").fetchone()
    return str(row[0])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Proto", "https, http")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
        [("Forwarded", "proto=https")],
    ],
)
def test_a_request_that_did_not_come_by_https_is_refused(behind: Any, headers: list[tuple[str, str]]) -> None:
    answer = login(behind, *headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_request")


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (["127.0.0.1", "203.0.113.7, 10.9.1.1"], "203.0.113.7"),
        (["203.0.113.7:51234"], "203.0.113.7"),
        (["203.0.113.7, 10.9.1.1:443"], "203.0.113.7"),
        (["[2001:db8::7]:51234"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, [::FFFF:10.9.1.1]:443"], "203.0.113.7"),
        ([], "127.0.0.1"),
    ],
)
def test_the_callers_address_is_the_last_that_is_no_proxy(behind: Any, forwarded: list[str], caller: str) -> None:
    assert login(behind, ("X-Forwarded-Proto", "https"), *(("X-Forwarded-For", each) for each in forwarded)).is_success
    assert address(behind) == caller


def test_probes_come_straight(behind: Any) -> None:
    assert httpx2.get(behind.url + "/healthz").is_success
    assert httpx2.get(behind.url + "/readyz").is_success


def test_the_metadata_speaks_of_the_issuer_that_clients_reach(behind: Any) -> None:
    path = "/.well-known/oauth-authorization-server"
    document = httpx2.get(behind.url + path, headers={"X-Forwarded-Proto": "https"}).json()
    assert (document["issuer"], document["token_endpoint"]) == ("https://auth.example", "https://auth.example/token")


def test_whoever_is_no_proxy_is_refused_whatever_he_says(serve: Callable[..., Any]) -> None:
    service = serve("--trusted-proxy", "10.9.0.0/16", "--issuer", "https://auth.example")
    service.add_user()
    assert login(service, ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "10.9.0.1")).status_code == 403


def test_without_a_proxy_its_headers_are_not_believed(service: Any) -> None:
    assert login(service, ("X-Forwarded-For", "203.0.113.7")).is_success
    assert address(service) == "127.0.0.1"


def test_behind_a_proxy_a_feeds_places_are_counted_by_the_callers_own_address(serve: Callable[..., Any]) -> None:
    service = serve(
        *("--trusted-proxy", "127.0.0.0/8", "--issuer", "https://auth.example", "--followers-per-address", "1")
    )

    def ask(address: str, query: str) -> httpx2.Response:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": address}
        return httpx2.get(f"{service.url}/revocations?{query}", headers=headers, timeout=30)

    service.add_user()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, "203.0.113.7", "since=0&wait=20")
        time.sleep(1.5)
        begun = time.monotonic()
        assert ask("203.0.113.7", "since=0&wait=20").status_code == 200  # at once: its one place is taken
        assert time.monotonic() - begun < 15
        begun = time.monotonic()
        assert ask("203.0.113.8", "since=0&wait=1").status_code == 200
        assert time.monotonic() - begun > 0.9
        service.admin("users", "disable", "alice")  # there is news: the wait ends
        assert waiting.result().status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_proxy_that_the_issuer_implies_and_nobody_named_is_warned_of_once(
    serve: Callable[..., Any], workers: str
) -> None:
    issuer = {"1": "https://auth.example", "2": "HTTPS://auth.example"}[workers]
    code, log = serve("--issuer", issuer, "--workers", workers).stop()
    assert code == 0
    assert log.count("all callers count as one") == log.count("--trusted-proxy 127.0.0.1/32") == 1


def test_where_no_proxy_is_implied_or_one_is_named_nobody_is_warned(serve: Callable[..., Any], tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    tls = ("--tls-cert", str(files["ssl_certfile"]), "--tls-key", str(files["ssl_keyfile"]))
    named = ("--trusted-proxy", "127.0.0.1/32")
    for flags in ((), ("--issuer", "https://auth.example", *tls), ("--issuer", "https://auth.example", *named)):
        assert "count as one" not in serve(*flags).stop()[1]


def test_an_ipv4_address_that_comes_mapped_into_ipv6_is_that_address(serve: Callable[..., Any]) -> None:
    flags = ("--host", "::ffff:127.0.0.1", "--trusted-proxy", "127.0.0.0/8", "--metrics-from", "127.0.0.0/8")
    service = serve(*flags, "--issuer", "https://auth.example", "--log-level", "info")
    service.url = f"http://127.0.0.1:{service.port}"  # its socket sees ::ffff:127.0.0.1
    service.add_user()
    assert login(service, ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.7")).is_success
    assert address(service) == "203.0.113.7"
    assert login(service, ("X-Forwarded-Proto", "https")).is_success
    assert address(service) == "127.0.0.1"
    for path, status in (("/healthz", 200), ("/nowhere", 403)):
        assert httpx2.get(service.url + path).status_code == status
    log = service.stop()[1]
    assert "127.0.0.1" in log
    assert "::ffff:127.0.0.1" not in log


def test_loopback_mapped_into_ipv6_is_loopback_and_a_session_comes_from_there(serve: Callable[..., Any]) -> None:
    service = serve("--host", "::ffff:127.0.0.1")
    service.url = f"http://127.0.0.1:{service.port}"
    service.add_user()
    assert login(service).is_success
    assert address(service) == "127.0.0.1"


@pytest.mark.parametrize(
    ("networks", "host", "inside"),
    [
        (("127.0.0.0/8",), "::ffff:127.0.0.1", True),
        (("127.0.0.0/8",), "0:0:0:0:0:ffff:7f00:1", True),
        (("::ffff:127.0.0.0/104",), "127.0.0.1", True),
        (("::ffff:127.0.0.0/104",), "::ffff:10.0.0.1", False),
        (("::1/128",), "::1", True),
        (("127.0.0.0/8",), "::1", False),
        (("127.0.0.0/8",), "unix", False),
        (("127.0.0.0/8",), "un:ix", False),
    ],
)
def test_a_host_is_within_a_network_in_either_spelling(networks: tuple[str, ...], host: str, inside: bool) -> None:
    assert within(host, parse_networks(networks)) is inside


@pytest.mark.parametrize(
    "networks",
    [
        (),
        ("0.0.0.0/0",),
        ("::/0",),
        ("::ffff:0.0.0.0/96",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("::/1", "8000::/1"),
        tuple(f"{number}.0.0.0/8" for number in range(256)),
        ("10.0.0.0/8", "128.0.0.0/2"),
        ("2000::/3",),
        ("2000::/7",),
        ("2001::/19",),
        ("10.0.0.1", "::ffff:128.0.0.0/97", "::ffff:0.0.0.0/97"),
    ],
)
def test_networks_that_together_are_nobodys_own_are_refused(networks: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="may not be anybody"):
        parse_networks(networks)


def test_the_widest_networks_that_are_somebodys_own_are_taken() -> None:
    private = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "2001:1000::/20",
    )
    assert len(parse_networks(private)) == len(private)


@pytest.mark.parametrize("junk", ["x" * 7000, "fe80::1%" + "x" * 7000, "\xe4\x85\xff", "1.2.3.4\tx" * 20])
def test_what_is_no_address_is_logged_cut_and_escaped(serve: Callable[..., Any], junk: str) -> None:
    flags = ("--trusted-proxy", "127.0.0.1/32", "--issuer", "https://auth.example", "--log-level", "info")
    service = serve(*flags)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        head = f"GET /sessions HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: {junk}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        assert connection.recv(12) == b"HTTP/1.1 401"
    [line] = [line for line in service.stop()[1].splitlines() if "GET /sessions 401" in line]
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 200


def test_an_issuer_with_a_path_answers_where_its_metadata_says_and_where_rfc_8414_does(
    serve: Callable[..., Any],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = serve(start=False)
    service.port, service.flags = port, ("--issuer", f"http://127.0.0.1:{port}/of/it")
    service.start()
    issuer, get = f"{service.url}/of/it", service.http.get
    places = [
        f"{service.url}/.well-known/oauth-authorization-server/of/it",
        f"{issuer}/.well-known/oauth-authorization-server",
        f"{service.url}/.well-known/oauth-authorization-server",  # a proxy took the path away
    ]
    document = get(places[0]).json()
    assert all(get(place).json() == document for place in places)
    assert document["issuer"] == issuer
    for name, url in document.items():
        if name.endswith(("_uri", "_endpoint")):
            assert url.startswith(issuer)
            assert get(url).status_code in (200, 405), name
    assert get(issuer + "/openapi.json").status_code == 200
    # Probes and metrics stay where the rules of the proxy look for them.
    assert [get(issuer + path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [404] * 3
