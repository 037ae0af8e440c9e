"""Spans: which there are, what they hang on, what they say of errors; and what none of them ever carries."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from starlette.testclient import TestClient

from admit.errors import ConfigurationError
from admit.server import create_app, traces
from admit.server.app import create_context
from admit.server.run import CannotServe, check
from admit.server.settings import load
from admit.service.facade import TokenService
from tests.helpers.command import environment
from tests.helpers.leaks import leaks
from tests.server.conftest import PASSWORD

SERVICE = {"issuer": "https://auth.example", "audience": "orders", "master_key": bytes(range(32))}
ATTRIBUTES = {
    SpanKind.SERVER: {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "admit.outcome",
        "error.type",
    },
    SpanKind.CLIENT: {"db.system.name", "db.operation.name", "error.type"},
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"


@dataclass
class Traced:
    """A service whose spans a test sees."""

    service: TokenService
    provider: TracerProvider
    exporter: InMemorySpanExporter

    def client(self, address: str = "127.0.0.1", **more: Any) -> TestClient:
        app = create_app(self.service, tracer_provider=self.provider, **more)
        return TestClient(app, client=(address, 1), raise_server_exceptions=False)

    def spans(self) -> list[ReadableSpan]:
        """Those that ended since this was last asked."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found

    def endpoint(self) -> ReadableSpan:
        return next(each for each in self.spans() if each.kind is SpanKind.SERVER)


def recording() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


@contextmanager
def recorded(folder: Path) -> Iterator[Traced]:
    service = TokenService(f"sqlite:///{folder}/auth.db", **SERVICE)  # type: ignore[arg-type]
    service.users.add("alice-liddell", PASSWORD)
    provider, exporter = recording()
    yield Traced(service, provider, exporter)
    service.close()
    provider.shutdown()


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    with recorded(tmp_path) as traced:
        yield traced


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """For tests that change nothing."""
    with recorded(tmp_path_factory.mktemp("shared")) as traced:
        yield traced


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else int(span.parent.span_id)


def identity(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_the_transactions_of_a_request_lie_below_its_endpoint_though_worker_threads_run_them(shared: Traced) -> None:
    with shared.client() as http:
        pair = http.post("/login", data={"username": "alice-liddell", "password": PASSWORD}).json()
        login = shared.spans()
        http.post("/token", data={"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]})
        refresh = shared.spans()
    for spans, name in ((login, "POST /login"), (refresh, "POST /token")):
        (endpoint,) = (span for span in spans if span.kind is SpanKind.SERVER)
        database = [span for span in spans if span.kind is SpanKind.CLIENT]
        assert (endpoint.name, parent(endpoint)) == (name, None)
        assert len(database) == len(spans) - 1 >= 1
        assert {parent(span) for span in database} == {identity(endpoint)}
        assert {trace_id(span) for span in spans} == {trace_id(endpoint)}
        assert said(endpoint) == {
            "http.request.method": "POST",
            "http.route": name.split()[1],
            "http.response.status_code": 200,
            "admit.outcome": "ok",
        }
        assert {span.name for span in database} <= {"read sqlite", "write sqlite"}
        write = next(span for span in database if span.name == "write sqlite")
        assert said(write) == {"db.system.name": "sqlite", "db.operation.name": "write"}
        assert {span.status.status_code for span in spans} == {StatusCode.UNSET}


def test_transactions_are_measured_as_before(shared: Traced) -> None:
    with shared.client() as http:
        http.post("/login", data={"username": "alice-liddell", "password": PASSWORD})
        shown = http.get("/metrics").text
    assert 'admit_database_seconds_count{operation="write",outcome="ok"}' in shown


def test_a_service_behind_two_routers_has_one_span_for_a_transaction(traced: Traced) -> None:
    for _ in range(2):
        assert create_context(traced.service, tracer_provider=traced.provider).tracing is not None
    with traced.provider.get_tracer("a test").start_as_current_span("outer"):
        traced.service._storage.read(lambda tx: tx.now)
    assert [span.name for span in traced.spans()] == ["read sqlite", "outer"]


def test_the_service_s_own_threads_make_no_spans(shared: Traced) -> None:
    with shared.client() as http:
        http.get("/healthz")
        shared.spans()
        shared.service._storage.read(lambda tx: tx.now)
        assert shared.spans() == []


def test_no_span_carries_a_token_a_name_a_password_an_address_or_a_path(shared: Traced) -> None:
    with shared.client("203.0.113.77", traces_from=["203.0.113.0/24"]) as http:
        pair = http.post("/login", data={"username": "alice-liddell", "password": PASSWORD}).json()
        access, refresh = pair["access_token"], pair["refresh_token"]
        agent = {"User-Agent": f"agent-{access}", "X-Request-Id": "alice-liddell", "Baggage": "user=alice-liddell"}
        http.post("/login", data={"username": "alice-liddell", "password": "hunter2-hunter2"}, headers=agent)
        http.post("/token", data={"grant_type": "refresh_token", "refresh_token": refresh}, headers=agent)
        http.get(f"/sessions?token={access}", headers={**agent, "Authorization": f"Bearer {access}"})
        http.delete(f"/sessions/{refresh}", headers={"Authorization": f"Bearer {access}"})
        http.get(f"/revocations?since=0&wait=0&token={access}", headers=agent)
        http.post("/revoke", data={"token": access}, headers=agent)
        http.get(f"/{access}")
    spans = shared.spans()
    whole = "\n".join(span.to_json() for span in spans)
    assert leaks(whole) == []
    for secret in (access, refresh, "alice", PASSWORD, "hunter2", "203.0.113", "SELECT", "INSERT", "agent-", "token="):
        assert secret not in whole
    assert "/sessions/{id}" in {said(span).get("http.route") for span in spans}
    for span in spans:
        assert set(said(span)) <= ATTRIBUTES[span.kind]
        assert not span.events


def test_a_refusal_says_its_code_and_is_no_error_of_the_service(shared: Traced) -> None:
    with shared.client() as http:
        http.post("/login", data={"username": "alice-liddell", "password": "wrong"})
        login = shared.spans()
        http.post("/token", data={"grant_type": "refresh_token", "refresh_token": "admit_rt_forged"})
        token = shared.spans()
        http.get("/sessions/")
        http.get("/status-lists/7", headers={"Accept": "text/plain"})
        status_list = shared.endpoint()
    for spans, status in ((login, 401), (token, 400)):
        (endpoint,) = (span for span in spans if span.kind is SpanKind.SERVER)
        assert (said(endpoint)["admit.outcome"], said(endpoint)["http.response.status_code"]) == (
            "invalid_grant",
            status,
        )
        assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
        assert not any("error.type" in said(span) for span in spans)
    assert said(status_list)["admit.outcome"] == "invalid_request"


def test_a_refusal_that_a_transaction_comes_to_is_no_failure_of_the_database(shared: Traced) -> None:
    with shared.client() as http:
        http.post("/login", data={"username": "alice-liddell", "password": PASSWORD})
        with shared.provider.get_tracer("a test").start_as_current_span("outer"), pytest.raises(ConfigurationError):
            shared.service._storage.write(refuse)
    write = [span for span in shared.spans() if span.name == "write sqlite"][-1]
    assert (write.status.status_code, "error.type" in said(write)) == (StatusCode.UNSET, False)


def refuse(_: object) -> None:
    raise ConfigurationError("not for alice-liddell")


def test_an_unexpected_error_is_told_by_its_type_alone(shared: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> dict[str, str]:
        def query(_: object) -> dict[str, str]:
            raise ValueError(f"could not use {PASSWORD}")

        return shared.service._storage.read(query)

    monkeypatch.setattr(shared.service, "readiness", fails)
    with shared.client() as http:
        assert http.get("/readyz").status_code == 500
    database, endpoint = shared.spans()
    assert said(endpoint)["admit.outcome"] == "server_error"
    for span in (database, endpoint):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert said(span)["error.type"] == "builtins.ValueError"
        assert PASSWORD not in span.to_json()
        assert not span.events


def test_a_database_that_fails_is_an_error_of_both_and_no_statement_is_told(traced: Traced) -> None:
    traced.service._storage.write(lambda tx: tx.execute(text("ALTER TABLE admit_users RENAME TO gone")))
    with traced.client() as http:
        assert http.post("/login", data={"username": "alice-liddell", "password": PASSWORD}).status_code == 503
    spans = traced.spans()
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert {span.kind for span in failed} == {SpanKind.SERVER, SpanKind.CLIENT}
    for span in failed:
        assert said(span)["error.type"] == "storage_unavailable"
        assert span.status.description is None
        assert not span.events
        assert "admit_users" not in span.to_json()


def test_a_caller_in_a_network_of_ours_has_its_trace_continued(shared: Traced) -> None:
    with shared.client("10.1.2.3", traces_from=["10.1.0.0/16"]) as http:
        http.get("/healthz", headers={"traceparent": CALLER, "tracestate": "vendor=1"})
    span = shared.endpoint()
    assert (trace_id(span), parent(span), span.links) == (TRACE, int(SPAN, 16), ())
    assert span.parent is not None
    assert span.parent.is_remote


def test_whoever_else_calls_begins_a_trace_that_links_to_theirs_and_cannot_ask_to_be_recorded(shared: Traced) -> None:
    with shared.client("10.2.2.3", traces_from=["10.1.0.0/16"]) as http:
        http.get("/healthz", headers={"traceparent": CALLER, "tracestate": "vendor=anything"})
        span = shared.endpoint()
        http.get("/healthz", headers={"traceparent": CALLER[:-1] + "0"})
        assert shared.endpoint()  # nor not to be
    assert (parent(span), trace_id(span) == TRACE) == (None, False)
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(int(TRACE, 16), int(SPAN, 16))]
    assert "anything" not in span.to_json()


def test_a_caller_of_ours_who_is_not_recorded_is_not_recorded_here(shared: Traced) -> None:
    with shared.client() as http:
        http.get("/readyz", headers={"traceparent": CALLER[:-1] + "0"})
    assert shared.spans() == []


ODD: dict[str, list[tuple[str, str | bytes]]] = {
    "two": [("traceparent", CALLER), ("traceparent", CALLER)],
    "empty": [("traceparent", "")],
    "no trace id": [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
    "no span id": [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
    "another version": [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
    "more than its version has": [("traceparent", f"{CALLER}-more")],
    "not hexadecimal": [("traceparent", CALLER.replace("4bf9", "zzzz"))],
    "digits of another script": [("traceparent", b"00-" + b"\xb2" * 32 + b"-" + b"\xb2" * 16 + b"-01")],
    "a state alone": [("tracestate", "vendor=1")],
    "much too long": [("traceparent", "0" * 9000)],
    "a token": [("traceparent", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")],
}


@pytest.mark.parametrize("name", ODD)
def test_a_traceparent_that_is_none_is_none(shared: Traced, name: str) -> None:
    headers = httpx2.Headers(
        [(key.encode(), value if isinstance(value, bytes) else value.encode()) for key, value in ODD[name]]
    )
    with shared.client() as http:
        assert http.get("/healthz", headers=headers).status_code == 200
    span = shared.endpoint()
    assert (parent(span), span.links) == (None, ())


@pytest.mark.parametrize("state", ["", ",", "=", "a=b,a=c", "\t", "vendor=" + "x" * 5000, "\xff=\xfe"])
def test_a_state_that_is_none_does_not_undo_the_parent(shared: Traced, state: str) -> None:
    with shared.client() as http:
        headers = httpx2.Headers([(b"traceparent", CALLER.encode()), (b"tracestate", state.encode("latin-1"))])
        assert http.get("/healthz", headers=headers).status_code == 200
    assert trace_id(shared.endpoint()) == TRACE


def test_below_a_span_of_the_host_application_an_endpoint_is_a_part_of_it(shared: Traced) -> None:
    app = create_app(shared.service, tracer_provider=shared.provider)

    async def host(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        with shared.provider.get_tracer("host").start_as_current_span("host"):
            await app(scope, receive, send)

    with TestClient(host, client=("127.0.0.1", 1)) as http:
        http.get("/healthz", headers={"traceparent": CALLER})
    inner, outer = shared.spans()
    assert (inner.kind, parent(inner), inner.name) == (SpanKind.INTERNAL, identity(outer), "GET /healthz")
    assert (outer.name, trace_id(inner) == TRACE) == ("host", False)


def test_a_network_that_is_none_is_refused_before_anything_is_made(shared: Traced, tmp_path: Path) -> None:
    for wrong in ("anywhere", "0.0.0.0/0"):
        with pytest.raises(ConfigurationError):
            create_app(shared.service, traces_from=[wrong])
        with pytest.raises(CannotServe):
            check(load({"data": tmp_path, "traces_from": (wrong,)}, {}))


def test_where_nobody_configured_a_provider_there_are_no_traces_and_transactions_are_left_alone(traced: Traced) -> None:
    assert traces.find((), None) is None
    app = create_app(traced.service)
    before = traced.service._storage.around
    with TestClient(app) as http:
        assert http.get("/readyz").status_code == 200
    assert traced.service._storage.around is before


WITHOUT = """
import sys
from pathlib import Path
sys.modules["opentelemetry"] = None  # what an import meets where it is not installed
from starlette.testclient import TestClient
from admit.server import create_app, traces
from admit.service.facade import TokenService
service = TokenService(f"sqlite:///{sys.argv[1]}/a.db", issuer="https://auth.example", audience="a", master_key=bytes(32))
with TestClient(create_app(service)) as http:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    print(http.get("/readyz", headers=headers).status_code, traces.find((), None))
traces.flush()
service.close()
"""


def test_without_the_package_everything_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert (done.stdout, done.returncode) == ("200 None\n", 0), done.stderr


def test_workers_send_their_last_spans_when_they_end_and_log_lines_name_the_trace(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    sent = tmp_path / "spans"
    service = serve("--workers", "2", "--log-level", "info", "--log-format", "json", start=False)
    service.start("tests.helpers.traced", str(sent))
    for _ in range(20):  # each on a connection of its own: both workers get some
        httpx2.get(service.url + "/readyz", headers={"traceparent": CALLER}, trust_env=False)
    began = time.monotonic()
    code, stderr = service.stop()
    assert code == 0
    assert time.monotonic() - began < 60
    spans = [json.loads(line) for line in sent.read_text().splitlines()]
    assert sum(span["name"] == "GET /readyz" for span in spans) == 20
    assert {span["context"]["trace_id"] for span in spans if span["name"] == "GET /readyz"} == {f"0x{TRACE}"}
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert {line["trace_id"] for line in lines if line["logger"] == "admit.access"} == {TRACE}
    assert leaks(sent.read_text()) == []
