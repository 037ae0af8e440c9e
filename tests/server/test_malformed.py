"""Whatever bytes come, the answer is a 4xx with an OAuth error object, and nothing is written."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from admit import TokenService
from admit.server import create_app, parsing
from tests.helpers.serving import serving

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
GOOD = b"username=alice&password=wrong"

BODIES = {
    "no content type": (None, GOOD, 415),
    "plain text": ("text/plain", GOOD, 415),
    "multipart": ("multipart/form-data; boundary=x", b"--x--", 415),
    "latin-1 declared": (f"{FORM}; charset=iso-8859-1", GOOD, 415),
    "empty body": (FORM, b"", 400),
    "missing password": (FORM, b"username=alice", 400),
    "empty password": (FORM, b"username=alice&password=", 400),
    "repeated username": (FORM, b"username=alice&username=bob&password=x", 400),
    "repeated with an empty one": (FORM, b"username=alice&username=&password=x", 400),
    "NUL": (FORM, b"username=al%00ice&password=x", 400),
    "raw NUL": (FORM, b"username=al\x00ice&password=x", 400),
    "bad UTF-8": (FORM, b"username=%ff%fe&password=x", 400),
    "raw bad UTF-8": (FORM, b"username=\xff\xfe&password=x", 400),
    "a surrogate in UTF-8": (FORM, b"username=%ed%a0%80&password=x", 400),
    "a bad escape": (FORM, b"username=%zz&password=x", 400),
    "a cut escape": (FORM, b"username=alice&password=%4", 400),
    "thousands of parameters": (FORM, b"&".join(b"a%d=1" % n for n in range(5000)), 400),
    "only separators": (FORM, b"&&&&====", 400),
    "JSON that is not": (JSON, b"{", 400),
    "JSON of another kind": (JSON, b'["username", "password"]', 400),
    "JSON null": (JSON, b"null", 400),
    "JSON in UTF-16": (JSON, '{"username": "alice"}'.encode("utf-16"), 400),
    "JSON with a duplicate": (JSON, b'{"username": "a", "username": "b", "password": "x"}', 400),
    "JSON with a number": (JSON, b'{"username": 1, "password": "x"}', 400),
    "JSON with a list": (JSON, b'{"username": ["alice"], "password": "x"}', 400),
    "JSON with null": (JSON, b'{"username": null, "password": "x"}', 400),
    "JSON with NUL": (JSON, b'{"username": "al\\u0000ice", "password": "x"}', 400),
    "JSON with a lone surrogate": (JSON, b'{"username": "\\ud800", "password": "x"}', 400),
    "JSON with NaN": (JSON, b'{"username": "alice", "password": NaN}', 400),
    "deep JSON": (JSON, b'{"username":' + b"[" * 30000 + b"]" * 30000 + b"}", 400),
    "a megabyte": (FORM, b"username=" + b"a" * 1_000_000, 413),
    "a megabyte of JSON": (JSON, b'{"username": "' + b"a" * 1_000_000 + b'"}', 413),
}


def exchange(url: str, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON body of a raw request, over a socket of its own."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body) if body.startswith(b"{") else body


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def refused(answer: tuple[int, dict[str, str], Any], status: int) -> None:
    assert answer[0] == status, answer
    assert set(answer[2]) == {"error", "error_description"}
    assert answer[1]["cache-control"] == "no-store"


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_login_is_refused_with_an_error_object(service: Any, name: str) -> None:
    kind, body, status = BODIES[name]
    before = service.counts()
    headers = [] if kind is None else [f"Content-Type: {kind}"]
    refused(exchange(service.url, request("POST", "/login", body, *headers)), status)
    assert service.counts() == before


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/logout"])
@pytest.mark.parametrize("name", [name for name in BODIES if BODIES[name][0] != JSON])
def test_every_endpoint_with_a_body_refuses_them_alike(service: Any, path: str, name: str) -> None:
    kind, body, _ = BODIES[name]
    headers = [] if kind is None else [f"Content-Type: {kind}"]
    status, _, answer = exchange(service.url, request("POST", path, body, *headers))
    assert 400 <= status < 500
    assert set(answer) == {"error", "error_description"}


def test_a_body_that_lies_about_its_length_is_refused(service: Any) -> None:
    chunked = (
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % FORM.encode()
    )
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    refused(exchange(service.url, chunked + chunk * 20 + b"0\r\n\r\n"), 413)


def test_parameters_in_the_url_are_refused_for_they_would_be_logged(service: Any) -> None:
    line = "/login?username=alice&password=x"
    refused(exchange(service.url, request("POST", line, GOOD, f"Content-Type: {FORM}")), 400)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /login", 405),
        ("PUT /token", 405),
        ("GET /nothing", 404),
        ("GET /login/", 404),
        ("GET /%00%ff", 404),
        ("DELETE /sessions/%00", 401),
        ("GET /revocations?since=-1", 400),
        ("GET /revocations?since=1e9", 400),
        ("GET /revocations?since=99999999999999999999", 400),
        ("GET /revocations?since=1&since=2", 400),
        ("GET /revocations?since=%ff", 400),
        ("GET /revocations?since=1&wait=nan", 400),
        ("GET /revocations?since=1&wait=-1", 400),
    ],
)
def test_other_paths_methods_and_queries_are_refused_with_an_error_object(service: Any, line: str, status: int) -> None:
    refused(exchange(service.url, request(line.split(" ")[0], line.split(" ")[1])), status)


@pytest.mark.parametrize(
    "header",
    ["Authorization: Basic", "Authorization: Basic !!!", "Authorization: Basic YTpi\r\nAuthorization: Basic YTpj",
     "Authorization: Basic Og==", "Authorization: Basic /////w==", "Authorization: Bearer abc", "Authorization: \xff"],
)  # fmt: skip
def test_client_credentials_that_cannot_be_read_are_refused(service: Any, header: str) -> None:
    body = b"grant_type=client_credentials"
    status, _, answer = exchange(service.url, request("POST", "/token", body, f"Content-Type: {FORM}", header))
    assert status in (400, 401)
    assert answer["error"] in ("invalid_client", "invalid_request")


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer a b", "Bearer \xff", "Basic YTpi", "Bearer a.b.c", "bearer " + "a" * 20000]
)
def test_bearer_headers_that_cannot_be_read_are_refused(service: Any, value: str) -> None:
    status, headers, answer = exchange(service.url, request("GET", "/sessions", b"", f"Authorization: {value}"))
    assert status in (400, 401)
    assert set(answer) == {"error", "error_description"}
    assert status == 400 or headers["www-authenticate"].startswith("Bearer")


def test_the_service_still_works_after_all_of_this(service: Any) -> None:
    assert service.login()["token_type"] == "Bearer"


def test_a_body_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "BODY_SECONDS", 0.2)
    service = TokenService(f"sqlite:///{tmp_path}/auth.db", issuer="https://auth.example", audience="orders")
    head = f"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 9\r\n\r\nuser"
    with closing(service), serving(create_app(service)) as url:
        refused(exchange(url, head.encode()), 408)
