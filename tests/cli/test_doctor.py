"""`jwt admin doctor`: a sound deployment passes; each of many broken ones is found, and told how to be mended."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admit.cli.checks import host
from admit.cli.checks.database import mounted
from admit.cli.checks.finding import Deployment, Finding
from admit.cli.doctor import CHECKS, examined
from admit.clock import system_clock
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.server.metadata import METADATA
from admit.server.settings import Settings, load
from admit.service import master, revocation, rewrap
from admit.service.facade import TokenService
from admit.service.storage import Storage
from admit.tokens.revocation import PAGE_ENTRIES, Page
from tests.helpers.certificate import write_certificate
from tests.helpers.command import environment
from tests.helpers.command import run as run_command
from tests.helpers.postgres import Postgres

pytestmark = pytest.mark.once

ADMIT = [sys.executable, "-m", "admit.cli"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a service that runs."""
    with served(tmp_path_factory.mktemp("doctor") / "d") as settings:
        yield settings


@contextmanager
def served(data: Path, **more: str) -> Iterator[Settings]:
    """The settings of a service that runs over this data folder, with more settings."""
    flags = [part for name, value in more.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = [*ADMIT, "serve", "--data", str(data), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            yield load({"data": data, "issuer": json.loads(process.stdout.readline())["url"], **more}, {})
        finally:
            process.terminate()


@pytest.fixture
def sound(running: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same service's settings over a copy of its data, which a test may break."""
    data = tmp_path / "d"
    data.mkdir(mode=0o700)
    shutil.copy(running.data / "master.key", data)
    with sqlite3.connect(running.data / "admit.db") as there, sqlite3.connect(data / "admit.db") as here:
        there.backup(here)
        here.execute("PRAGMA journal_mode = WAL")
    there.close()
    here.close()
    for path in data.iterdir():
        path.chmod(0o600)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return replace(running, data=data)


def examine(settings: Settings) -> dict[str, list[Finding]]:
    deployment = Deployment(settings)
    try:
        return {name: list(examined(check, deployment)) for name, check in CHECKS if name != "passwords"}
    finally:
        deployment.close()


def failures(settings: Settings) -> dict[str, str]:
    """What fails, and how it is to be mended, by the check's name."""
    found = {
        name: [each for each in findings if each.result == "failure"] for name, findings in examine(settings).items()
    }
    assert all(each.mend for findings in found.values() for each in findings)
    return {
        name: "\n".join(f"{each.told}: {each.mend}" for each in findings)
        for name, findings in found.items()
        if findings
    }


def test_one_failure_is_one(sound: Settings) -> None:
    add = ("admin", "doctor", "--data", str(sound.data))
    (sound.data / "master.key").chmod(0o644)
    assert re.search(r"1 of \d+ findings is a failure\n$", run_command(*add).stderr)
    sound.data.chmod(0o755)
    assert re.search(r"2 of \d+ findings are failures\n$", run_command(*add).stderr)


def test_a_folder_of_something_else_is_not_to_be_closed(sound: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    (other / "passwd").touch()
    told = failures(replace(sound, data=other, database=sound.database_url))["data folder"]
    assert ("chmod" in told, "name a folder of its own with --data" in told) == (False, True)
    sound.data.chmod(0o755)
    assert f"chmod 700 {sound.data}" in failures(sound)["data folder"]


def test_nothing_fails_in_a_sound_deployment(sound: Settings) -> None:
    found = examine(sound)
    assert {each.result for findings in found.values() for each in findings if each.result != "skipped"} <= {
        "ok",
        "warning",
    }, found
    looked = {name for name, findings in found.items() if any(each.result == "ok" for each in findings)}
    assert looked >= {
        "settings",
        "database",
        "schema",
        "SQLite",
        "master key",
        "key schedule",
        "issuer",
        "feed",
        "clock",
    }
    assert found["jwt on PATH"][0].result == "ok"


def run(settings: Settings, statement: str, *values: Any) -> None:
    with sqlite3.connect(settings.data / "admit.db") as connection:
        connection.execute(statement, values)
    connection.close()
    for path in settings.data.iterdir():
        path.chmod(0o600)


def mode(of: str, bits: int) -> Callable[[Settings], Settings]:
    def break_it(settings: Settings) -> Settings:
        (settings.data / of).chmod(bits)
        return settings

    return break_it


def sql(statement: str, *values: Any) -> Callable[[Settings], Settings]:
    def break_it(settings: Settings) -> Settings:
        run(settings, statement, *values)
        return settings

    return break_it


def other_key(settings: Settings) -> Settings:
    (settings.data / "master.key").write_bytes(bytes(32))
    return settings


def new_master_key(settings: Settings) -> None:
    """A second version of the master key beside the first, as docs/keys.md has it."""
    new = master.add_version(settings.master_key)
    assert new == settings.data / "master.key.2"


def rewrapped(settings: Settings, limit: int = 100) -> None:
    """So many secrets moved to the newest version."""
    storage = Storage(settings.database_url)
    given = master.master_keys(settings.master_key, storage, needed=True)
    storage.write(lambda tx: rewrap.rewrap(tx, given, limit))
    storage.close()


def a_second_master_key_that_others_read(settings: Settings) -> Settings:
    new_master_key(settings)
    return mode("master.key.2", 0o644)(settings)


def the_new_master_key_gone(settings: Settings) -> Settings:
    new_master_key(settings)
    rewrapped(settings)
    return without("master.key.2")(settings)


def the_old_master_key_gone_too_soon(settings: Settings) -> Settings:
    new_master_key(settings)
    rewrapped(settings, 5)
    return without("master.key")(settings)


def another_old_master_key(settings: Settings) -> Settings:
    new_master_key(settings)
    rewrapped(settings, 5)  # no longer needed but for keys
    return other_key(settings)


def junk(settings: Settings) -> Settings:
    (settings.data / "admit.db").write_bytes(b"no database, but as many bytes as one has at its begin" * 2)
    return settings


def without(name: str) -> Callable[[Settings], Settings]:
    def break_it(settings: Settings) -> Settings:
        (settings.data / name).unlink()
        return settings

    return break_it


AGO = int((datetime.now(UTC) - timedelta(days=40)).timestamp() * 1000)
AHEAD = int((datetime.now(UTC) + timedelta(hours=3)).timestamp() * 1000)

BROKEN: dict[str, tuple[Callable[[Settings], Settings], str, str]] = {
    "a master key that others read": (mode("master.key", 0o644), "master key", r"mode 0644.*chmod 600"),
    "a data folder open to others": (mode("", 0o755), "data folder", r"mode 0755.*chmod 700"),
    "a database that others read": (mode("admit.db", 0o640), "SQLite", r"mode 0640.*chmod 600"),
    "another master key": (other_key, "master key", r"does not open.*this database was made with"),
    "no master key": (without("master.key"), "master key", r"version 1 .*/master\.key is not there.*backup"),
    "a second master key that others read": (
        a_second_master_key_that_others_read,
        "master key",
        r"master\.key\.2 has mode 0644.*chmod 600",
    ),
    "the new master key gone": (
        the_new_master_key_gone,
        "master key",
        r"version 2 .*/master\.key\.2 is not there: copy it",
    ),
    "the old master key gone too soon": (
        the_old_master_key_gone_too_soon,
        "master key",
        r"version 1 .*/master\.key is not there",
    ),
    "another old master key": (another_old_master_key, "master key", r"stored (access|feed) key does not open"),
    "no SQLite file": (junk, "database", r"is not a database.*restore its backup"),
    "no database": (without("admit.db"), "database", r"no database.*--data"),
    "an older schema": (
        sql("UPDATE admit_alembic_version SET version_num = '0001'"),
        "schema",
        r"revision 0001.*jwt admin db upgrade",
    ),
    "a newer schema": (
        sql("UPDATE admit_alembic_version SET version_num = '9999'"),
        "schema",
        r"newer than this version.*install the newer",
    ),
    "a rotation overdue": (
        sql("UPDATE admit_keys SET created_at = ?, active_at = min(active_at, ?) WHERE use = 'access'", AGO, AGO),
        "key schedule",
        r"overdue by 2\d\d\.\d h.*jwt admin keys rotate",
    ),
    "no standby": (
        sql("UPDATE admit_keys SET state = 'revoked' WHERE state = 'pending' AND use = 'feed'"),
        "key schedule",
        r"no standby.*service run",
    ),
    "a clock that went back": (
        sql("INSERT INTO admit_audit (at, event) VALUES (?, 'x')", AHEAD),
        "clock",
        r"ahead of this host's clock.*NTP",
    ),
    "an issuer with another slash": (
        lambda settings: replace(settings, issuer=settings.issuer + "/"),
        "issuer",
        r"says that it is.*one slash is a difference",
    ),
    "an issuer that nobody answers for": (
        lambda settings: replace(settings, issuer="http://127.0.0.1:9"),
        "issuer",
        r"failed.*service runs",
    ),
    "everybody as a proxy": (
        lambda settings: replace(settings, trusted_proxy=("0.0.0.0/0",)),
        "proxy",
        r"public addresses.*proxy's own address",
    ),
    "a proxy network of strangers": (
        lambda settings: replace(settings, trusted_proxy=("8.8.8.0/24",)),
        "proxy",
        r"forge X-Forwarded-For.*proxy's own address",
    ),
    "passwords in the clear": (
        lambda settings: replace(settings, host="0.0.0.0"),
        "settings",
        r"in the clear.*--tls-cert",
    ),
    "a feed that lags": (
        sql("UPDATE admit_feed SET seq = seq + 5"),
        "feed",
        r"does not reach 5, where the database is.*readyz",
    ),
    "another database's feed": (
        sql("UPDATE admit_feed SET epoch = 'another'"),
        "feed",
        r"another database's.*which database",
    ),
    "another database's keys": (
        sql("UPDATE admit_keys SET kid = 'another' WHERE state = 'pending' AND use = 'access'"),
        "issuer",
        r"2 keys, of which 1 are among the 2.*another database",
    ),
}


EXCUSED = {"settings", "feed"}
"""`jwt serve` refuses some of them too; and a feed is another issuer's where the issuer is wrong."""


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_and_explained(sound: Settings, name: str) -> None:
    break_it, check, told = BROKEN[name]
    found = failures(break_it(sound))
    assert check in found, found
    assert re.search(told, found[check], re.S), found[check]
    assert found.keys() - {check} <= EXCUSED, found


def test_a_master_key_that_was_changed_is_looked_at_in_all_its_files(sound: Settings) -> None:
    new_master_key(sound)
    told = [each.told for each in examine(sound)["master key"]]
    kept = f"{sound.master_key}{{}} is its owner's alone"
    assert told == [kept.format(""), kept.format(".2"), "it opens what is stored"]
    rewrapped(sound)
    sound.master_key.unlink()  # as docs/keys.md has it
    assert failures(sound) == {}
    assert [each.told for each in examine(sound)["master key"]] == [kept.format(".2"), "it opens what is stored"]


def test_another_program_called_jwt_is_found_and_never_run(
    sound: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "bin" / "jwt"
    foreign.parent.mkdir()
    foreign.write_text(f"#!/bin/sh\ntouch {tmp_path}/it-was-run\n")
    foreign.chmod(0o755)
    monkeypatch.setenv("PATH", f"{foreign.parent}:{os.environ['PATH']}")
    found = failures(sound)
    assert found.keys() == {"jwt on PATH"}
    assert str(foreign) in found["jwt on PATH"]
    assert "admit" in found["jwt on PATH"]
    assert not (tmp_path / "it-was-run").exists()


@contextmanager
def answering(
    said: dict[str, Any], tls: ssl.SSLContext | None = None, ahead: float = 0, pages: Mapping[str, bytes] | None = None
) -> Iterator[int]:
    """A server that answers every GET with that document, or what `pages` has for its path, under a clock of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (pages or {}).get(self.path.partition("?")[0]) or json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(datetime.now(UTC).timestamp() + ahead)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that refuses the certificate

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_clock_that_differs_from_the_issuers_is_found(sound: Settings) -> None:
    said: dict[str, Any] = {}
    with answering(said, ahead=-3600) as port:
        settings = replace(sound, issuer=f"http://127.0.0.1:{port}")
        said["issuer"] = settings.issuer
        told = failures(settings)["clock"]
    assert re.search(r"differ by 3(59|60)\d\.", told)
    assert "NTP" in told


def test_more_revocations_than_a_page_holds_are_no_failure_and_a_feed_that_lags_behind_them_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revoke(settings: Settings, many: int) -> None:
        storage = Storage(settings.database_url)
        storage.write(lambda tx: revocation.cut_off(tx, *(revocation.CutOff("sid", f"s{n}") for n in range(many))))
        storage.close()

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    with served(tmp_path / "d") as settings:
        revoke(settings, 2 * PAGE_ENTRIES + 300)
        found = examine(settings)["feed"]
        assert [each.result for each in found] == ["ok"], found
        shutil.copytree(settings.data, tmp_path / "ahead")
        ahead = replace(settings, data=tmp_path / "ahead")
        revoke(ahead, 1)
        assert "does not reach" in failures(ahead)["feed"]


def test_a_proxy_that_an_issuer_implies_and_nobody_named_is_warned_of(sound: Settings) -> None:
    behind = replace(sound, issuer="https://auth.example")
    pem = sound.data / "tls.pem"

    def proxy(settings: Settings) -> list[str]:
        return [each.result for each in host.proxy(Deployment(settings))]

    assert proxy(behind) == ["warning"]
    assert proxy(replace(behind, trusted_proxy=("127.0.0.1/32",))) == ["ok"]
    assert proxy(replace(behind, tls_cert=pem, tls_key=pem)) == ["ok"]
    assert proxy(sound) == ["ok"]


def test_a_feed_for_clients_alone_is_passed_over(tmp_path: Path) -> None:
    with served(tmp_path / "d", feed_readers="clients") as settings:
        assert examine(settings)["feed"] == [
            Finding("skipped", "the feed is for clients alone, and the doctor is none")
        ]


@contextmanager
def fed(sound: Settings, key: Key) -> Iterator[tuple[Settings, Callable[..., None]]]:
    """Settings whose issuer serves a feed, and what publishes its page, by default the newest of now."""
    storage = Storage(sound.database_url)
    storage.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("sid", "s")))
    head = storage.read(revocation.head)
    storage.close()
    said: dict[str, Any] = {}
    pages: dict[str, bytes] = {"/jwks": json.dumps(KeySet([key.public()]).to_jwks()).encode()}
    with answering(said, pages=pages) as port:
        settings = replace(sound, issuer=f"http://127.0.0.1:{port}")
        said |= {"issuer": settings.issuer, "revocations_jwks_uri": f"{settings.issuer}/jwks"}
        said["revocations_uri"] = f"{settings.issuer}/revocations"

        def publish(*, behind: int = 0, ago: int = 0, more: bool = False) -> None:
            to, iat = head.seq - behind, int(system_clock()) - ago
            page = Page(iss=settings.issuer, feed=head.epoch, since=0, to=to, iat=iat, full=True, more=more)
            pages["/revocations"] = page.sign(key).encode()

        yield settings, publish


@pytest.mark.parametrize(("more", "old"), [(False, True), (True, False)])
def test_a_page_of_the_feed_that_is_old_is_a_cache_at_work_but_not_on_the_way_to_the_newest(
    sound: Settings, more: bool, old: bool
) -> None:
    with fed(sound, Key.generate("ES256")) as (settings, publish):
        publish(ago=60, more=more)
        told = " ".join(each.told for each in examine(settings)["feed"])
    assert bool(re.search("was signed 6. s ago", told)) is old


def test_a_worker_that_has_not_looked_yet_is_given_time(sound: Settings) -> None:
    with fed(sound, Key.generate("ES256")) as (settings, publish):
        publish(behind=1)
        looks = Timer(0.6, publish)
        looks.start()
        found = examine(settings)["feed"]
        looks.join()
    assert [each.result for each in found] == ["ok"], found


ODD_KEYS: dict[str, bytes] = {
    "text for keys": b'{"keys": ["a", "b"]}',
    "null for keys": b'{"keys": null}',
    "a list for a kid": b'{"keys": [{"kid": ["x"]}]}',
    "no JSON": b"<html>",
    "a list": b"[1]",
    "nested without end": b"[" * 100_000,
    "nested in an object": b'{"keys": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", ODD_KEYS)
def test_an_issuer_that_answers_oddly_is_a_finding_and_costs_no_other(sound: Settings, name: str) -> None:
    said: dict[str, Any] = {}
    with answering(said, pages={"/keys": ODD_KEYS[name]}) as port:
        settings = replace(sound, issuer=f"http://127.0.0.1:{port}")
        said |= {"issuer": settings.issuer, "jwks_uri": f"{settings.issuer}/keys", "revocations_uri": settings.issuer}
        said["revocations_jwks_uri"] = said["jwks_uri"]
        found = failures(settings)
        assert found.keys() == {"issuer", "feed"}
        assert "its keys cannot be read" in found["issuer"]
        assert "the feed cannot be read" in found["feed"]
    with answering({}, pages={METADATA: ODD_KEYS[name]}) as port:
        found = failures(replace(sound, issuer=f"http://127.0.0.1:{port}"))
    assert "issuer" in found
    assert "unexpected" not in found["issuer"]


def test_a_check_that_fails_itself_is_one_finding_with_what_it_found_before(sound: Settings) -> None:
    def check(_: Deployment) -> Iterator[Finding]:
        yield Finding("ok", "so far")
        raise RecursionError("with words of its own")

    found = list(examined(check, Deployment(sound)))
    assert [each.result for each in found] == ["ok", "failure"]
    assert found[1].told == "it could not be looked at: unexpected RecursionError"


def certificate(folder: Path, host: str, days: float) -> tuple[Path, Path]:
    """A certificate and its key; it signs itself, so that it can be trusted by name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    kind: x509.GeneralName
    try:
        kind = x509.IPAddress(ip_address(host))
    except ValueError:
        kind = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([kind]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    cert_file, key_file = folder / f"{host}{days}.pem", folder / f"{host}{days}.key"
    cert_file.write_bytes(made.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    key_file.chmod(0o600)
    return cert_file, key_file


CERTIFICATES = {
    "for another host": ("auth.example", 90.0, True, r"mismatch|not valid for", "not for 127.0.0.1"),
    "that has ended": ("127.0.0.1", -3.0, True, r"expired", "ended 3 days ago"),
    "of an authority that nobody knows": ("127.0.0.1", 90.0, False, r"self.signed", ""),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_that_clients_refuse_is_found_where_it_lies_and_where_it_is_served(
    sound: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    host, days, trusted, served, lying = CERTIFICATES[name]
    cert, key = certificate(tmp_path, host, days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with answering({}, context) as port:
        settings = replace(sound, issuer=f"https://127.0.0.1:{port}", tls_cert=cert, tls_key=key)
        found = failures(settings)
    assert re.search(served, found["TLS"])
    assert "on SIGHUP" in found["TLS"]
    with answering({}, context) as port:
        several = failures(replace(settings, issuer=f"https://127.0.0.1:{port}", workers=2))
    assert "SIGHUP" in several["TLS"]
    assert (lying in found["certificate file"]) if lying else "certificate file" not in found
    assert "issuer" in found  # no client reaches it


def test_a_certificate_whose_key_is_encrypted_is_refused_as_the_service_does(sound: Settings, tmp_path: Path) -> None:
    files = write_certificate(tmp_path, password=b"hunter2")
    found = failures(replace(sound, tls_cert=files["ssl_certfile"], tls_key=files["ssl_keyfile"]))
    assert "is encrypted" in found["certificate file"]


def test_a_certificate_that_ends_soon_is_a_warning(
    sound: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1", 5)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with answering({}, context) as port:
        key.chmod(0o640)
        found = examine(replace(sound, issuer=f"https://127.0.0.1:{port}", tls_cert=cert, tls_key=key))
    assert [each.result for each in found["TLS"]] == ["warning"]
    assert [each.result for each in found["certificate file"]] == ["failure", "warning"]
    assert "chmod 600" in found["certificate file"][0].mend


def test_a_page_that_is_damaged_asks_for_the_backup(sound: Settings) -> None:
    with closing(sqlite3.connect(sound.data / "admit.db")) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'admit_keys'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with (sound.data / "admit.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = failures(sound)
    assert "key schedule" in found
    assert all("malformed" in each and "restore its backup" in each for each in found.values()), found


def test_a_place_that_cannot_be_written_is_found(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, how: path != sound.data and how == os.W_OK)  # root may all but this
    assert f"{sound.data} cannot be written" in failures(sound)["SQLite"]
    monkeypatch.setattr(os, "access", lambda path, how: path == sound.data and how == os.W_OK)
    assert f"{sound.data / 'admit.db'} cannot be written" in failures(sound)["SQLite"]


def test_a_full_disk_is_found(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(sound.data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3_000_000 if path == sound.data else 0))
    assert "3.0 MB left: make room" in failures(sound)["SQLite"]


def test_what_the_service_calls_down_is_found_though_all_can_be_read(tmp_path: Path) -> None:
    with served(tmp_path / "d") as settings:
        held = sqlite3.connect(settings.data / "admit.db", isolation_level=None)
        held.execute("BEGIN IMMEDIATE")  # nobody else writes
        found = failures(settings)
        held.close()
        assert [each.result for each in examine(settings)["readiness"]] == ["ok"]
    assert found.keys() == {"readiness"}
    assert re.search(r"database is down: .*who holds it locked", found["readiness"])


SAID = {
    "a secret moved": (b'{"status":"unavailable","checks":{"database":"ok","master_key":"down"}}', "failure"),
    "a process that ends": (b'{"status":"stopping","checks":{"database":"ok"}}', "skipped"),
    "a proxy's page": (b"<h1>Service Unavailable</h1>", "skipped"),
    "no object of checks": (b'{"status":"unavailable","checks":["database"]}', "skipped"),
}


@pytest.mark.parametrize("name", SAID)
def test_of_readiness_only_what_the_service_says_itself_fails(sound: Settings, name: str) -> None:
    body, result = SAID[name]
    with answering({}, pages={"/readyz": body}) as port:
        (found,) = examine(replace(sound, issuer=f"http://127.0.0.1:{port}"))["readiness"]
    assert (found.result, bool(found.mend)) == (result, result == "failure")


def test_postgresql_that_only_reads_is_found(sound: Settings, postgres: Postgres) -> None:
    there = replace(sound, database=postgres.database())
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {postgres.name(there.database)} SET default_transaction_read_only TO on")
    assert "name the primary in --database" in failures(there)["PostgreSQL"]


def test_postgresql_whose_tables_are_locked_asks_to_end_that(sound: Settings, postgres: Postgres) -> None:
    there = replace(sound, database=postgres.database())
    with psycopg.connect(postgres.dsn(postgres.name(there.database))) as connection:
        connection.execute("LOCK TABLE admit_secrets IN ACCESS EXCLUSIVE MODE")
        assert "end who holds its tables locked" in failures(there)["master key"]


def test_postgresql_away_and_postgresql_that_loses_commits_are_found(sound: Settings, postgres: Postgres) -> None:
    there = replace(sound, database=postgres.database(), workers=20)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {postgres.name(there.database)} SET synchronous_commit TO off")
    found = failures(there)["PostgreSQL"]
    for each in ("fsync is off", "synchronous_commit is off", "20 workers can open 400 connections"):
        assert each in found
    away = failures(replace(there, database=there.database.replace(str(postgres.folder), str(sound.data))))
    assert "start the database" in away["database"]
    assert away.keys() == {"database"}  # what stands on it is skipped, with the reason


def test_on_postgresql_too_every_version_of_the_master_key_is_looked_at(sound: Settings, postgres: Postgres) -> None:
    there = replace(sound, database=postgres.database())
    key = there.master_key.read_bytes()
    TokenService(there.database, issuer=there.issuer, audience="api", master_key=key).close()
    new_master_key(there)
    rewrapped(there, 5)
    assert [each.result for each in examine(there)["master key"]] == ["ok", "ok", "ok"]
    there.master_key.unlink()
    assert "version 1 " in failures(there)["master key"]


def test_a_journal_that_is_not_wal_is_told_as_it_was_found(sound: Settings) -> None:
    run(sound, "PRAGMA journal_mode = DELETE")
    before = picture(sound.data)
    found = examine(sound)
    assert [each.told for each in found["SQLite"] if each.result == "warning"] == [
        "its journal is not WAL: readers wait for writers"
    ]
    assert found["schema"][0].result == "ok"
    assert picture(sound.data) == before


def picture(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file: its bytes, and when it was written."""
    return {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in folder.iterdir()}


def test_it_changes_nothing_where_no_service_runs(sound: Settings) -> None:
    for path in sound.data.glob("*-*"):
        path.unlink()
    before = picture(sound.data)
    assert failures(sound) == {}
    assert picture(sound.data) == before
    assert set(before) == {"admit.db", "master.key"}


def test_it_changes_nothing_where_one_runs_or_has_died_and_sees_what_is_in_its_journal(sound: Settings) -> None:
    held = sqlite3.connect(sound.data / "admit.db")
    held.execute("UPDATE admit_feed SET epoch = 'another'")
    held.commit()
    (sound.data / "admit.db-shm").chmod(0o600)
    before = picture(sound.data)
    assert "admit.db-wal" in before
    assert "another database's" in failures(sound)["feed"]
    assert picture(sound.data).keys() == before.keys()
    assert all(picture(sound.data)[name] == before[name] for name in ("admit.db", "admit.db-wal", "master.key"))
    died = replace(sound, data=sound.data.parent / "died")
    shutil.copytree(sound.data, died.data)
    held.close()
    before = picture(died.data)
    assert "another database's" in failures(died)["feed"]
    assert picture(died.data).keys() == before.keys()
    assert all(picture(died.data)[name] == before[name] for name in ("admit.db", "admit.db-wal", "master.key"))
    (died.data / "admit.db-shm").unlink()
    before = picture(died.data)
    found = examine(died)
    assert [each.told for each in found["SQLite"] if "nobody has open" in each.told]
    assert picture(died.data) == before


def test_the_mount_that_holds_a_file_is_the_longest_above_it() -> None:
    mounts = [["/dev/a", "/", "ext4"], ["host:/x", "/srv/net\\040work", "nfs4"], ["/dev/b", "/srv", "xfs"]]
    assert mounted("/srv/net work/d/admit.db", mounts) == "nfs4"
    assert mounted("/srv/network/admit.db", mounts) == "xfs"
    assert mounted("/home/x", mounts) == "ext4"


def test_in_a_pipe_it_is_json_and_it_ends_with_26_where_anything_fails(sound: Settings) -> None:
    command = ["admin", "doctor", "--data", str(sound.data), "--issuer", sound.issuer]
    done = run_command(*command, env=environment())
    assert (done.returncode, done.stderr) == (0, "Nothing fails.\n"), done.stdout
    found = json.loads(done.stdout)
    assert {each["check"] for each in found} == {name for name, _ in CHECKS}
    (sound.data / "master.key").chmod(0o644)
    done = run_command(*command, env=environment())
    assert done.returncode == 26
    assert [each["check"] for each in json.loads(done.stdout) if each["result"] == "failure"] == ["master key"]
    assert done.stderr.count("\n") == 1
