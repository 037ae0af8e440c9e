"""`jwt serve`: what it makes, what it prints, what it refuses and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.helpers.certificate import write_certificate
from tests.helpers.command import run
from tests.helpers.terminal import in_terminal

HOME = {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")}


def serve(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A `jwt serve` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "admit.cli", "serve", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        env={**HOME, **environment},
    )


@contextmanager
def serving(*flags: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with subprocess.Popen(
        [sys.executable, "-m", "admit.cli", "serve", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**HOME, **environment},
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_with_no_arguments_it_makes_what_it_needs_for_its_owner_alone(tmp_path: Path) -> None:
    # port 8000 may be taken here; the environment stands in for the default
    with serving(XDG_DATA_HOME=str(tmp_path), ADMIT_PORT="0") as (process, said):
        data = tmp_path / "admit"
        assert said["data"] == str(data)
        assert said["url"].startswith("http://127.0.0.1:")
        assert data.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in data.iterdir()}
        assert {"admit.db", "master.key"} <= modes.keys()
        assert set(modes.values()) == {0o600}
        assert len(httpx2.get(said["url"] + "/.well-known/jwks.json").json()["keys"]) >= 2  # one signs, one stands by
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_pages_of_a_named_origin_get_their_tokens_in_cookies_and_others_none(tmp_path: Path) -> None:
    page, data = "http://127.0.0.1:9", str(tmp_path / "d")
    with serving("--port", "0", "--data", data, "--cookie-origins", page) as (_, said):
        form = {"username": "alice", "password": "correct horse battery staple"}
        added = run(
            "admin", "users", "add", "alice", "--password-stdin", "--data", data, given=form["password"], env=HOME
        )
        assert added.returncode == 0, added.stderr
        with httpx2.Client(base_url=said["url"], headers={"Origin": page}, trust_env=False) as browser:
            answer = browser.post("/login", data=form)
            assert (answer.status_code, answer.json().keys()) == (200, {"expires_in"})
            assert all("HttpOnly" in each for each in answer.headers.get_list("set-cookie"))
            assert answer.headers["access-control-allow-origin"] == page
            held = set(browser.cookies)
            assert len(held) == 2
            assert browser.post("/token", data={"grant_type": "refresh_token"}).json().keys() == {"expires_in"}
            evil = {"Origin": "http://127.0.0.1:10"}
            assert browser.post("/token", data={"grant_type": "refresh_token"}, headers=evil).status_code == 403
            refused = browser.post("/login", data=form, headers=evil)
            assert (refused.status_code, refused.json()["error"]) == (403, "foreign_origin")
            assert set(browser.cookies) == held
            assert browser.post("/logout").status_code == 204
            assert not browser.cookies


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_follower_of_the_feed_does_not_hold_up_the_end(tmp_path: Path, how: int) -> None:
    with serving("--port", "0", "--data", str(tmp_path / "d")) as (process, said):
        host, port = said["url"].removeprefix("http://").split(":")
        page = httpx2.get(said["url"] + "/revocations")
        assert page.status_code == 200
        with socket.create_connection((host, int(port)), timeout=20) as follower:
            follower.sendall(b"GET /revocations?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            process.send_signal(how)
            assert process.wait(4) == 0
            assert follower.recv(100).startswith(b"HTTP/1.1 200")


REFUSED = {
    "anybody, in the clear": (["--host", "0.0.0.0"], 24, "plain HTTP on 0.0.0.0"),
    "IPv6, in the clear": (["--host", "::"], 24, "plain HTTP on ::"),
    "an issuer in the clear": (["--issuer", "http://auth.example"], 24, "not https"),
    "an issuer with a query": (["--issuer", "https://auth.example?x=1"], 24, "without query"),
    "an issuer with a path that is none": (["--issuer", "https://auth.example/{a:b}"], 24, "no URL does"),
    "an issuer that is no URL": (["--issuer", "auth.example"], 24, "not a URL"),
    "half of TLS": (["--tls-cert", "x.pem"], 24, "belong together"),
    "certificates that are not": (["--tls-cert", __file__, "--tls-key", __file__], 24, "certificate"),
    "a proxy without an issuer": (["--trusted-proxy", "10.0.0.0/8"], 24, "--issuer"),
    "everybody as a proxy": (["--trusted-proxy", "0.0.0.0/0", "--issuer", "https://a.example"], 24, "anybody"),
    "a proxy that is no network": (["--trusted-proxy", "proxy", "--issuer", "https://a.example"], 24, "network"),
    "everybody as a scraper": (["--metrics-from", "0.0.0.0/0"], 24, "metrics_from may not be anybody"),
    "everybody's traces": (["--traces-from", "::/0"], 24, "traces_from may not be anybody"),
    "less than no followers": (["--followers", "-1"], 24, "followers is"),
    "no followers from an address": (["--followers-per-address", "0"], 24, "followers_per_address is"),
    "HMAC": (["--algorithm", "HS256"], 24, "HMAC"),
    "a port that is no number": (["--port", "http"], 2, "port is a whole number"),
    "a scope with a space": (["--scopes", "a b"], 2, "scopes is printable ASCII without spaces"),
    "a scope that steers a terminal": (["--scopes", "a\x1b"], 2, "scopes is printable ASCII without spaces"),
    "an empty folder": (["--data", ""], 2, "data is the path of"),
    "a port that is none": (["--port", "70000"], 20, "70000"),
    "a duration that is none": (["--grace", "5sec"], 2, "grace is a number with its unit, as 30s"),
    "a database in no folder": (["--database", "sqlite:////none/auth.db"], 22, "no folder /none: is --database right?"),
    "windows that contradict": (["--grace", "1h"], 2, "retry_window"),
    "a password in argv": (["--database", "postgresql+psycopg://u:hunter2@db/x"], 24, "argv"),
    "a password at its end": (["--database", "postgresql+psycopg://u@db/x?password=hunter2"], 24, "argv"),
    "one for psycopg": (["--database", "postgresql+psycopg://db/x?conninfo=password%3Dhunter2"], 24, "argv"),
    "one of a key file": (
        ["--database", "postgresql+psycopg://u@db/x?sslmode=require&sslpassword=hunter2"],
        24,
        "argv",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_unsafe_or_wrong_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    flags, code, reason = REFUSED[name]
    done = serve("--data", str(tmp_path / "d"), *(["--port", "0"] if "--port" not in flags else []), *flags)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_an_encrypted_key_of_the_certificate_is_said_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    files = write_certificate(tmp_path, password=b"hunter2")
    tls = ["--tls-cert", str(files["ssl_certfile"]), "--tls-key", str(files["ssl_keyfile"])]
    code, shown = in_terminal(["serve", "--data", str(tmp_path / "d"), "--port", "0", *tls])
    assert code == 24
    assert "is encrypted" in shown


def test_a_port_in_use_is_said_with_its_own_exit_code(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = serve("--data", str(tmp_path / "d"), "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stderr.count("\n")) == (20, 1)
    assert "in use" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_folder_that_cannot_be_written_is_said_with_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = serve("--data", str(tmp_path / "file" / "d"), "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (21, 1)


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o755)
    done = serve("--data", str(tmp_path / "d"), "--port", "0")
    assert done.returncode == 21
    assert "chmod 700" in done.stderr


def test_a_folder_of_something_else_is_never_advised_to_be_closed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "etc" / "passwd").touch()
    done = serve("--data", str(tmp_path / "etc"), "--port", "0")
    assert (done.returncode, "chmod" in done.stderr) == (21, False)
    assert "name a folder of its own with --data" in done.stderr
    (tmp_path / "etc" / "master.key").touch()
    assert "chmod 700" in serve("--data", str(tmp_path / "etc"), "--port", "0").stderr


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The data folder of a service that ran."""
    with serving("--port", "0", "--data", str(tmp_path / "d")) as (process, _):
        process.terminate()
        process.wait(20)
    return tmp_path / "d"


def test_a_damaged_database_is_said_with_its_own_exit_code(made: Path) -> None:
    (made / "admit.db").write_bytes(b"SQLite format 3\0" + b"damaged" * 1000)
    for extra in ("admit.db-wal", "admit.db-shm"):
        (made / extra).unlink(missing_ok=True)
    done = serve("--data", str(made), "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (22, 1), done.stderr


@pytest.mark.parametrize("content", [bytes(32), b"short", None])
def test_another_master_key_is_said_with_its_own_exit_code_and_none_is_made_up(
    made: Path, content: bytes | None
) -> None:
    path = made / "master.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = serve("--data", str(made), "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (23, 1), done.stderr
    assert path.exists() == (content is not None)


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "admit.toml"
    path.write_text('port = 1\ngrace = "5s"\nissuer = "https://file.example"\naudience = ["a", "b"]\n')
    done = serve(
        "--config", str(path), "--port", "3", "--print-config", ADMIT_PORT="2", ADMIT_ISSUER="https://env.example"
    )
    shown = tomllib.loads(done.stdout)
    assert (shown["port"], shown["issuer"], shown["grace"], shown["idle"]) == (
        3,
        "https://env.example",
        "5s",
        "30d",
    )
    assert shown["audience"] == ["a", "b"]


def printed(*flags: str, **environment: str) -> str:
    """What `jwt serve --print-config` writes, in this process."""
    done = run("serve", *flags, "--print-config", env=HOME | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--data", "dé \U0001f511\x7f", "--port", "8181", "--audience", "orders"),
        ("--profile", "owasp", "--scopes", "a,b", "--grace", "1500ms", "--idle", "1h30m", "--status-list-ttl", "0"),
        ("--tls-cert", "a.pem", "--tls-key", "b.pem", "--password-wait", "90"),
    ],
)
def test_what_print_config_writes_is_read_as_the_same(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = tmp_path / "admit.toml"
    path.write_text(printed(*flags), encoding="utf-8")
    assert printed("--config", str(path)) == path.read_text(encoding="utf-8")


def test_an_empty_path_in_the_environment_is_the_default(tmp_path: Path) -> None:
    shown = printed("--data", str(tmp_path), ADMIT_TLS_CERT="", ADMIT_TLS_KEY="", ADMIT_MASTER_KEY_FILE="")
    assert 'tls_cert = ""\ntls_key = ""\n' in shown
    assert f'master_key_file = "{tmp_path / "master.key"}"' in shown


def test_commas_separate_in_flags_as_they_do_in_the_environment() -> None:
    flags = tomllib.loads(printed("--audience", "a, b", "--audience", "c", "--scopes", "x,y"))
    assert (flags["audience"], flags["scopes"]) == (["a", "b", "c"], ["x", "y"])
    assert tomllib.loads(printed(ADMIT_AUDIENCE="a, b,c"))["audience"] == flags["audience"]


def test_durations_are_written_in_the_largest_unit_that_leaves_no_rest() -> None:
    flags = ("--grace", "1.5s", "--retry-window", "5400", "--idle", "36h", "--leeway", "0s", "--absolute", "2w")
    shown = tomllib.loads(printed(*flags))
    assert [shown[name] for name in ("grace", "retry_window", "idle", "leeway", "absolute")] == [
        "1500ms",
        "90m",
        "36h",
        "0s",
        "14d",
    ]


def test_the_help_says_the_default_and_the_sort_of_each_setting() -> None:
    words = " ".join(run("serve", "--help").stdout.split())
    for said in ("[ADMIT_GRACE; default: 10s]", "[ADMIT_IDLE; default: 30d]", "[ADMIT_PORT; default: 8000]"):
        assert said in words
    for said in ("--grace TIME", "--port NUMBER", "--tls-cert PATH", "[ADMIT_TLS_CERT]", "A TIME is a number with"):
        assert said in words
    assert str(Path.home()) not in words


@pytest.mark.parametrize("place", ["u:{}@db/admit", "u@db/admit?host=a&password={}", "u@db/admit?sslpassword={}"])
def test_print_config_shows_no_password_and_makes_nothing(tmp_path: Path, place: str) -> None:
    url = f"postgresql+psycopg://{place}"
    done = serve("--print-config", "--data", str(tmp_path / "d"), ADMIT_DATABASE=url.format("hunter2"))
    assert done.returncode == 0
    assert "hunter2" not in done.stdout
    assert tomllib.loads(done.stdout)["database"] == url.format("***")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("text", ["unknown = 1\n", "port = true\n", "audience = 1\n", "[port]\n", "not toml"])
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "admit.toml"
    path.write_text(text)
    done = serve("--config", str(path), "--print-config")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_file_that_is_not_toml_is_said_to_be_wrong_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "admit.toml"
    path.write_text("port = 1\nhunter2 2\n")
    done = serve("--config", str(path), "--print-config")
    assert "is not TOML: look at line 2, column 9" in done.stderr
    assert "hunter2" not in done.stderr


def test_it_serves_although_nobody_reads_where(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "admit.cli", "serve", "--data", str(tmp_path / "d"), "--port", str(port)]
    with subprocess.Popen(command, stdout=writes, stderr=subprocess.PIPE, text=True) as process:
        os.close(writes)
        transport = httpx2.HTTPTransport(retries=10)
        with httpx2.Client(transport=transport, trust_env=False, timeout=20) as http:
            assert http.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        process.send_signal(signal.SIGINT)
        assert (process.wait(20), process.stderr.read() if process.stderr else "") == (0, "")
