"""What those who run the service see: metrics, readiness, request ids and logs; and what none of them ever shows."""

from __future__ import annotations

import json
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, select, text, update
from starlette.testclient import TestClient

from admit.errors import StorageUnavailable
from admit.server import create_app, logs
from admit.server.errors import render, unexpected
from admit.service.facade import TokenService
from admit.service.schema import assertions, feed, keys, secrets
from tests.helpers.fork import succeeds_in_a_child
from tests.server.conftest import PASSWORD

SERVICE = {"issuer": "https://auth.example", "audience": "orders", "master_key": bytes(range(32))}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TokenService]:
    service = TokenService(f"sqlite:///{tmp_path}/auth.db", **SERVICE)  # type: ignore[arg-type]
    yield service
    service.close()


@pytest.fixture
def http(service: TokenService) -> Iterator[TestClient]:
    with TestClient(create_app(service), client=("127.0.0.1", 1)) as client:
        yield client


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_logins_refreshes_and_revocations_came_to_is_counted(service: TokenService, http: TestClient) -> None:
    service.users.add("alice", PASSWORD)
    pair = http.post("/login", data={"username": "alice", "password": PASSWORD}).json()
    http.post("/login", data={"username": "alice", "password": "wrong"})
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    http.post("/token", data=form)
    http.post("/token", data={**form, "refresh_token": "admit_rt_forged"})
    http.post("/revoke", data={"token": pair["access_token"]})
    http.get("/no/such/path")
    shown = http.get("/metrics").text
    found = samples(shown)
    for endpoint, outcome in (
        ("POST /login", "ok"),
        ("POST /login", "invalid_grant"),
        ("POST /token", "ok"),
        ("POST /token", "invalid_grant"),
        ("POST /revoke", "ok"),
    ):
        assert found["admit_outcomes_total", endpoint, outcome] == 1
        assert found["admit_http_request_seconds_count", endpoint] >= 1
    assert found["admit_audit_events_total", "login.failed"] == 1
    assert found["admit_database_seconds_count", "write", "ok"] > 3
    assert found["admit_database_failures_total", "busy"] == 0
    assert found["admit_database_connections_most",] > found["admit_database_connections",] >= 1
    assert 0 <= found["admit_feed_age_seconds",] < 60
    assert found["admit_feed_entries",] == 1
    assert found["admit_password_hashes_waiting",] == 0
    assert found["admit_keys", "ES256", "active", "access"] == found["admit_keys", "ES256", "pending", "feed"] == 1
    assert 29 * 86400 < found["admit_key_rotation_seconds", "ES256", "access"] <= 30 * 86400
    for secret in ("alice", "127.0.0.1", pair["access_token"], pair["refresh_token"], "no/such"):
        assert secret not in shown


def test_a_database_that_fails_is_counted_by_its_kind(service: TokenService, http: TestClient) -> None:
    def broken(_: object) -> None:
        raise StorageUnavailable("as a busy database does")

    with pytest.raises(StorageUnavailable):
        service._storage.read(lambda tx: tx.execute(text("SELECT nothing FROM nowhere")))
    with pytest.raises(StorageUnavailable):
        service._storage.write(broken)
    found = samples(http.get("/metrics").text)
    assert found["admit_database_failures_total", "error"] == 1
    for operation in ("read", "write"):
        assert found["admit_database_seconds_count", operation, "failed"] == 1


def test_metrics_are_for_their_networks_alone(service: TokenService) -> None:
    app = create_app(service, metrics_from=("10.1.0.0/16",))
    for client, status in (
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("127.0.0.1", 404),
        ("10.2.2.3", 404),
        ("unix", 404),
    ):
        assert TestClient(app, client=(client, 1)).get("/metrics").status_code == status


def test_behind_a_proxy_a_scraper_comes_straight_and_a_stranger_through_it_does_not(service: TokenService) -> None:
    app = create_app(service, trusted_proxies=("127.0.0.1/32",), metrics_from=("127.0.0.0/8", "10.1.0.0/16"))
    through = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    assert TestClient(app, client=("10.1.2.3", 1)).get("/metrics").status_code == 200
    assert TestClient(app, client=("127.0.0.1", 1)).get("/metrics", headers=through).status_code == 404
    assert TestClient(app, client=("203.0.113.9", 1)).get("/metrics").status_code == 404


def test_a_proxy_that_does_not_say_who_asks_gets_no_metrics_and_is_told_once(
    service: TokenService, caplog: pytest.LogCaptureFixture
) -> None:
    through = TestClient(
        create_app(service, trusted_proxies=("127.0.0.1/32",)),
        client=("127.0.0.1", 1),
        headers={"X-Forwarded-Proto": "https"},
    )
    assert through.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
    assert caplog.text == ""
    for _ in range(2):
        assert through.get("/metrics").status_code == 404
        assert through.get("/.well-known/jwks.json").status_code == 200
    assert caplog.text.count("no X-Forwarded-For") == 1


def test_the_metrics_of_every_worker_are_told_whichever_is_asked(serve: Callable[..., Any]) -> None:
    service = serve("--workers", "2")
    for _ in range(30):  # each on a connection of its own: both workers get some
        httpx2.get(service.url + "/healthz", trust_env=False)
    text = httpx2.get(service.url + "/metrics", trust_env=False).text
    found = {
        labels: value
        for (name, *labels_), value in samples(text).items()
        if (labels := tuple(labels_)) and name == "admit_http_requests_total" and "GET /healthz" in labels
    }
    assert {labels[-1] for labels in found} == {"0", "1"}
    assert sum(found.values()) == 30
    assert {labels[-1] for labels in samples(text) if labels[0] == "admit_feed_age_seconds"} == {"0", "1"}
    assert service.stop() == (0, "")


def test_a_service_that_can_work_says_so_of_each_dependency(http: TestClient) -> None:
    answer = http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": dict.fromkeys(("database", "schema", "master_key", "keys", "follower"), "ok"),
    }


def no_keys(service: TokenService) -> None:
    def change(tx: Any) -> None:
        tx.execute(delete(keys))
        tx.execute(update(feed).values(keys_version=feed.c.keys_version + 1))

    service._storage.write(change)


def another_master_key(service: TokenService) -> None:
    def change(tx: Any) -> None:
        tx.execute(update(keys).values(private=b"\1" + bytes(80)))
        tx.execute(update(secrets).values(wrapped=b"\1" + bytes(80)))
        tx.execute(update(feed).values(keys_version=feed.c.keys_version + 1))

    service._storage.write(change)


def an_older_schema(service: TokenService) -> None:
    service._storage.write(lambda tx: tx.execute(text("UPDATE admit_alembic_version SET version_num = '0001'")))


DOWN: dict[str, Callable[[TokenService], None]] = {
    "schema": an_older_schema,
    "master_key": another_master_key,
    "keys": no_keys,
    "follower": lambda service: service._core.follower.close(),
}


@pytest.mark.parametrize("name", DOWN)
def test_readiness_tells_which_dependency_is_down(service: TokenService, http: TestClient, name: str) -> None:
    DOWN[name](service)
    answer = http.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    told = answer.json()
    assert told["status"] == "unavailable"
    assert [each for each, how in told["checks"].items() if how == "down"] == [name]
    assert all(how in ("ok", "down", "unknown") for how in told["checks"].values())


@contextmanager
def full(process: int) -> Iterator[None]:
    """No file of a process may grow beyond a page: as on a full disk, and without the right to mount one."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def until(status: int, service: Any) -> dict[str, Any]:
    """What /readyz says once it answers so, within seconds."""
    ends = time.monotonic() + 15
    while (answer := service.http.get(service.url + "/readyz")).status_code != status and time.monotonic() < ends:
        time.sleep(0.1)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()["checks"]
    return told


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limits of another process here")
def test_a_full_disk_is_told_and_when_there_is_room_again_too(serve: Callable[..., Any]) -> None:
    service = serve()
    service.add_user()
    service.login()
    assert until(200, service)["database"] == "ok"
    with full(service.process.pid):
        assert until(503, service) == {"database": "down"} | dict.fromkeys(
            ("schema", "master_key", "keys", "follower"), "unknown"
        )
        assert service.post("/login", username="alice", password=PASSWORD).status_code == 503
    until(200, service)
    service.login()
    service.stop()


def test_a_database_that_only_reads_is_told(postgres: Any) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = postgres.database()
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        service = TokenService(url, **SERVICE)  # type: ignore[arg-type]
        with TestClient(create_app(service), client=("127.0.0.1", 1)) as http:
            # What a demoted primary does: connections end, and the next ones only read.
            connection.execute(f"ALTER DATABASE {postgres.name(url)} SET default_transaction_read_only = on")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [postgres.name(url)]
            )
            told = http.get("/readyz")
        service.close()
    assert (told.status_code, told.json()["checks"]["database"]) == (503, "down")


def test_whoever_asks_all_the_time_makes_it_write_only_every_few_seconds(
    service: TokenService, http: TestClient
) -> None:
    def marks() -> list[Any]:
        return service._storage.read(lambda tx: list(tx.execute(select(assertions.c.exp)).scalars()))

    http.get("/readyz")
    before = marks()
    for _ in range(5):
        time.sleep(0.002)  # a mark is a time in milliseconds
        assert http.get("/readyz").status_code == 200
    assert len(before) == 1
    assert marks() == before


def test_secrets_moved_to_a_master_key_that_a_process_was_not_given_are_told_and_who_needs_one_waits(
    service: TokenService, http: TestClient, tmp_path: Path
) -> None:
    user = service.users.add("alice", PASSWORD)
    enrollment = service.totp.enroll(user.id)
    app = pyotp.parse_uri(enrollment.uri)
    assert isinstance(app, pyotp.TOTP)
    service.totp.confirm(user.id, app.now())
    given = {1: SERVICE["master_key"], 2: bytes(32)}
    other = TokenService(f"sqlite:///{tmp_path}/auth.db", **SERVICE | {"master_key": given})  # type: ignore[arg-type]
    other.keys.rewrap()
    other.close()
    told = http.get("/readyz")
    assert told.status_code == 503
    assert [name for name, how in told.json()["checks"].items() if how == "down"] == ["master_key"]
    form = {"username": "alice", "password": PASSWORD, "otp": app.at(time.time() + 30)}
    answer = http.post("/login", data=form)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_database_away_is_told_and_what_stands_on_it_is_unknown(request: pytest.FixtureRequest) -> None:
    helpers = pytest.importorskip("tests.helpers.postgres", exc_type=ImportError)
    if why := helpers.missing():
        pytest.skip(why)
    server = helpers.Postgres()
    try:
        server.start()
        service = TokenService(server.database(), **SERVICE)  # type: ignore[arg-type]
        with TestClient(create_app(service), client=("127.0.0.1", 1)) as http:
            server.stop()
            told = http.get("/readyz")
            found = samples(http.get("/metrics").text)
        service.close()
    finally:
        server.close()
    assert told.status_code == 503
    assert told.json()["checks"] == {"database": "down"} | dict.fromkeys(
        ("schema", "master_key", "keys", "follower"), "unknown"
    )
    assert str(server.folder) not in told.text
    assert found["admit_database_failures_total", "away"] > 0


def test_while_it_ends_it_is_not_ready_and_every_answer_closes_its_connection(service: TokenService) -> None:
    app = create_app(service)
    with TestClient(app) as http:
        assert "connection" not in http.get("/healthz").headers
        app.state.draining.on = True
        answer = http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
        assert http.get("/healthz").headers["connection"] == "close"


TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
IDS = {
    "5d1f7a1e-90a6-4f54-9f3a-2f1f0f6a8c11": True,
    "a" * 64: True,
    "a" * 65: False,
    "short": False,
    TOKEN: False,
    "with space": False,
    'quote"quote': False,
    "line\\nbreak": False,
}


@pytest.mark.parametrize("given", IDS)
def test_an_id_that_came_with_the_request_is_kept_only_where_it_is_sane(http: TestClient, given: str) -> None:
    answered = http.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"]
    assert (answered == given) is IDS[given]
    assert 8 <= len(answered) <= 64


def test_two_ids_are_none_and_a_refresh_token_is_too_long_to_be_one(service: TokenService, http: TestClient) -> None:
    twice = httpx2.Headers([("X-Request-Id", "aaaaaaaa"), ("X-Request-Id", "bbbbbbbb")])
    assert http.get("/healthz", headers=twice.multi_items()).headers["x-request-id"] not in ("aaaaaaaa", "bbbbbbbb")
    service.users.add("alice", PASSWORD)
    refresh_token = service.login("alice", PASSWORD).refresh_token
    assert http.get("/healthz", headers={"X-Request-Id": refresh_token}).headers["x-request-id"] != refresh_token


def test_each_request_is_a_line_with_its_id_and_without_what_it_carried(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    service = serve("--log-level", "info", "--log-format", "json", data=tmp_path / "d")
    service.add_user()
    pair = service.login()
    ask = {"X-Request-Id": "this-very-request", "Authorization": f"Bearer {pair['access_token']}"}
    service.http.get(service.url + f"/revocations?since=0&wait=0&token={pair['access_token']}", headers=ask)
    service.http.get(service.url + f"/sessions/{pair['refresh_token']}?token={pair['access_token']}")
    service.http.request("SECRET", service.url + f"/{pair['access_token']}")
    _, stderr = service.stop()
    lines = [json.loads(line) for line in stderr.splitlines()]
    requests = [line for line in lines if line["logger"] == "admit.access"]
    ours = next(line for line in requests if line["request_id"] == "this-very-request")
    assert (ours["route"], ours["status"], ours["address"]) == ("GET /revocations", 200, "127.0.0.1")
    assert ours["milliseconds"] >= 0
    assert {line["status"] for line in requests} >= {200, 405}
    for secret in (*pair.values(), PASSWORD, "since=0", "SECRET"):
        assert str(secret) not in stderr or secret in ("Bearer", "", pair["expires_in"])


def test_a_worker_thread_logs_with_the_id_of_its_request_and_never_an_exceptions_words(
    service: TokenService, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = logging.StreamHandler()
    formatted: list[str] = []
    monkeypatch.setattr(handler, "emit", lambda record: formatted.append(logs.Json().format(record)))
    log = logging.getLogger("admit.test")
    log.addHandler(handler)

    secret = "hunter" + str(len("ab"))  # its source line may stand in the log, what it holds may not

    def fails() -> dict[str, str]:
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("something failed")
        return {}

    monkeypatch.setattr(service, "readiness", fails)
    try:
        http.get("/readyz", headers={"X-Request-Id": "aaaaaaaa"})
    finally:
        log.removeHandler(handler)
    line = json.loads(formatted[0])
    assert (line["request_id"], line["message"]) == ("aaaaaaaa", "something failed")
    assert line["raised"][0] == "builtins.ValueError"
    assert "hunter2" not in formatted[0]


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> logs.Seldom:
    """The filter, on the service's own logger."""
    found = logs.Seldom()
    monkeypatch.setattr(logging.getLogger("admit.server"), "filters", [found])
    return found


def test_what_fails_again_and_again_is_said_once_a_minute(
    seldom: logs.Seldom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(20):
        assert render(StorageUnavailable("the database is away")).status_code == 503
        assert render(StorageUnavailable("its disk is full")).status_code == 503
        assert unexpected(ValueError()).status_code == 500
    assert unexpected(KeyError()).status_code == 500
    said = [each.levelname for each in caplog.records if each.levelno > logging.INFO]
    assert said == ["WARNING", "WARNING", "ERROR", "ERROR"]
    assert len(caplog.records) == 61
    caplog.clear()
    caplog.set_level(logging.WARNING)
    assert unexpected(ValueError()).status_code == 500
    logging.getLogger("admit.server").warning("its own, that no stranger causes")
    logging.getLogger("admit.server").warning("its own, that no stranger causes")
    assert [each.levelname for each in caplog.records] == ["WARNING", "WARNING"]


def test_a_minute_later_it_is_said_again(seldom: logs.Seldom, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e6
    monkeypatch.setattr(logs, "monotonic", lambda: now)

    def level(line: str) -> str:
        record = logging.makeLogRecord({"name": "admit.server", "levelno": logging.ERROR, **logs.seldom(line)})
        seldom.filter(record)
        return logging.getLevelName(record.levelno)

    assert [level(line) for line in "aab"] == ["ERROR", "INFO", "ERROR"]
    now += logs.AGAIN
    assert level("a") == "ERROR"
    for number in range(9999):
        level(str(number))
    assert len(seldom._said) < 1000


def test_what_strangers_make_the_server_say_is_said_once(serve: Callable[..., Any]) -> None:
    service = serve("--cors-origins", "https://app.example")
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    many = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60
    foreign = b"OPTIONS /token HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n"
    for request in (upgrade, b"no request\r\n\r\n", many, foreign):
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
                connection.sendall(request)
                connection.recv(12)  # and the rest of the answers is in vain
    log = service.stop()[1]
    assert log.count("Unsupported upgrade") == log.count("Invalid HTTP request") == log.count("evil.example") == 1
    assert log.count("Exception in ASGI application") <= 2  # of two types at most


def test_errors_of_two_lines_are_two(seldom: logs.Seldom) -> None:
    def one() -> None:
        raise KeyError("a")

    def other() -> None:
        raise KeyError("a")

    said = []
    for work in (one, one, other):
        try:
            work()
        except KeyError as error:
            raised = (KeyError, error, error.__traceback__)
            said.append(seldom.filter(logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "failed", (), raised)))
    assert said == [True, False, True]


def test_errors_of_libraries_are_said_once_a_minute_by_what_they_are(seldom: logs.Seldom) -> None:

    def passes(message: str, raised: type[Exception] | None = None, level: int = logging.ERROR) -> bool:
        exc_info = None if raised is None else (raised, raised(), None)
        return seldom.filter(logging.LogRecord("uvicorn.error", level, "", 0, message, (), exc_info))

    assert passes("Exception in ASGI application\n", RuntimeError)
    assert not passes("Exception in ASGI application\n", RuntimeError)
    assert passes("Exception in ASGI application\n", ValueError)
    assert passes("Exception in callback f\nhandle: <Handle 0x1>")
    assert not passes("Exception in callback f\nhandle: <Handle 0x2>")
    assert passes("Exception in callback <function f at 0x7f00aa>")
    assert not passes("Exception in callback <function f at 0x7f00bb>")
    assert passes("Shutting down", level=logging.INFO)
    assert passes("Shutting down", level=logging.INFO)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_something_was_counted_counts_from_zero(service: TokenService) -> None:
    create_app(service)
    measured = service._storage.around
    metrics = measured.__self__  # type: ignore[union-attr]
    service.sessions("nobody")

    def counted() -> float:
        found = {sample.name: sample.value for metric in metrics.collect() for sample in metric.samples}
        return float(found.get("admit_database_seconds_count", 0))

    def work() -> None:
        assert counted() == 0
        service.sessions("nobody")
        assert counted() > 0

    before = counted()
    assert before > 0
    with metrics._here().transactions._lock:
        assert succeeds_in_a_child(work)
