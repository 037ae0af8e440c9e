"""`jwt login` to `jwt introspect`: one's own session with a running service, in the keyring or in a file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.fail import Keyring as NoKeyring
from keyring.core import set_keyring

from admit import peek
from admit.cli.token_store import Kept, keep, kept_in
from tests.cli.test_terminal import plain
from tests.helpers.certificate import write_certificate
from tests.helpers.command import Done, run
from tests.helpers.keyring_backend import FolderKeyring
from tests.helpers.terminal import in_terminal

PASSWORD = "correct horse battery staple"
TOKEN = re.compile(r"eyJ[\w-]+\.|admit_rt")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("session") / "d")


@pytest.fixture(scope="module")
def url(data: str) -> Iterator[str]:
    command = [sys.executable, "-m", "admit.cli", "serve", "--data", data, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = json.loads(process.stdout.readline())["url"]
            add = ("admin", "users", "add", "alice", "--password-stdin", "--data", data)
            assert run(*add, given=PASSWORD).returncode == 0
            yield found
        finally:
            process.terminate()


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A keyring, and a home of one's own."""
    folder = tmp_path / "ring"
    folder.mkdir()
    monkeypatch.setenv("KEYRING_FOLDER", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ADMIT_TOKENS", raising=False)
    set_keyring(FolderKeyring())  # type: ignore[no-untyped-call]
    yield folder
    set_keyring(NoKeyring())  # type: ignore[no-untyped-call]


def login(url: str, *more: str) -> Done:
    return run("login", url, "--user", "alice", "--password-stdin", *more, given=PASSWORD)


def test_tokens_go_into_the_keyring_and_nothing_secret_into_the_file(url: str, ring: Path, tmp_path: Path) -> None:
    done = login(url)
    assert (done.returncode, "in the keyring" in done.stderr) == (0, True), done.stderr
    file = tmp_path / "state" / "admit" / "tokens.json"
    assert not TOKEN.search(file.read_text())
    assert TOKEN.search(next(ring.iterdir()).read_text())
    assert run("refresh").returncode == 0
    assert run("logout").returncode == 0
    assert not file.exists()
    assert not list(ring.iterdir())
    assert (run("logout").returncode, run("whoami").returncode) == (2, 2)


def test_a_file_is_taken_where_it_is_asked_for_or_there_is_no_keyring(url: str, ring: Path, tmp_path: Path) -> None:
    named = tmp_path / "mine.json"
    assert login(url, "--tokens", str(named)).returncode == 0
    assert (named.stat().st_mode & 0o777, bool(TOKEN.search(named.read_text()))) == (0o600, True)
    assert login(url, "--store", "file").returncode == 0
    assert not list(ring.iterdir())
    set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    assert login(url).returncode == 0
    done = login(url, "--store", "keyring")
    assert (done.returncode, "there is no keyring here" in done.stderr) == (2, True)


def test_a_locked_keyring_is_said_in_one_line(url: str, ring: Path) -> None:
    ring.rmdir()
    done = login(url)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the keyring does not answer (KeyringLocked)" in done.stderr
    assert not TOKEN.search(done.stdout + done.stderr)


@pytest.mark.parametrize("place", ["taken/state/tokens.json", "/proc/none/tokens.json"])
def test_where_tokens_cannot_be_kept_no_session_is_begun(url: str, data: str, tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("")
    before = json.loads(run("admin", "sessions", "list", "alice", "--data", data).stdout)
    done = login(url, "--tokens", str(tmp_path / place))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the tokens cannot be kept in" in done.stderr
    assert json.loads(run("admin", "sessions", "list", "alice", "--data", data).stdout) == before


def test_a_new_login_ends_the_session_that_it_replaces(url: str, ring: Path) -> None:
    assert login(url).returncode == 0
    old = kept_in(None)
    done = login(url)
    assert (done.returncode, f"The session of alice at {url} that was kept is ended." in done.stderr) == (0, True)
    new = kept_in(None)
    keep(None, old)
    assert run("refresh").returncode == 25
    gone = "http://127.0.0.1:9"
    keep(None, Kept(gone, "bob", 1, new.access_token, new.refresh_token))
    done = login(url)
    assert (done.returncode, f"of bob at {gone} that was kept lives on" in done.stderr) == (0, True), done.stderr
    assert run("refresh").returncode == 0


def test_tokens_of_a_service_that_is_gone_can_be_forgotten(ring: Path, tmp_path: Path) -> None:
    keep(None, Kept("http://127.0.0.1:9", "alice", 1, "a", "r"))
    done = run("logout")
    assert (done.returncode, "jwt logout --forget" in done.stderr) == (14, True)
    assert kept_in(None).user == "alice"
    assert run("logout", "--forget").returncode == 0
    assert not list(ring.iterdir())
    assert not (tmp_path / "state" / "admit" / "tokens.json").exists()


def test_whoami_is_what_the_service_confirms(url: str, ring: Path) -> None:
    assert login(url).returncode == 0
    told = json.loads(run("whoami").stdout)
    assert (told["service"], told["user"]) == (url, "alice")
    assert told["sub"] == peek(kept_in(None).access_token).claims["sub"]
    assert run("revoke").returncode == 0
    assert run("whoami").returncode == 16
    kept = kept_in(None)
    keep(None, Kept(kept.url, kept.user, 1, kept.access_token, kept.refresh_token))
    done = run("whoami")
    assert (done.returncode, "jwt refresh gets a new one" in done.stderr) == (11, True)
    forged = kept.access_token[:-8] + ("AAAAAAAA" if not kept.access_token.endswith("AAAAAAAA") else "BBBBBBBB")
    keep(None, Kept(kept.url, kept.user, kept.expires_at, forged, kept.refresh_token))
    done = run("whoami")
    assert done.returncode == 10
    assert not TOKEN.search(done.stdout + done.stderr)


def test_a_client_introspects_and_everybody_else_is_refused(url: str, data: str, ring: Path, tmp_path: Path) -> None:
    assert login(url).returncode == 0
    audience = peek(kept_in(None).access_token).claims["aud"]
    added = json.loads(run("admin", "clients", "add", "api", "--audience", audience, "--data", data).stdout)
    secret = next(value for name, value in added.items() if "secret" in name and isinstance(value, str))
    client = added.get("id") or added["client_id"]
    file = tmp_path / "secret"
    file.write_text(secret)
    asking = ("--client-id", client, "--client-secret-file", str(file))
    done = run("introspect", *asking)
    assert (done.returncode, json.loads(done.stdout)["active"]) == (0, True), done.stderr
    for words in (("-",), ()):
        done = run("introspect", *words, *asking, given="nonsense")
        assert (done.returncode, done.stderr) == (16, "not active: the token given\n")
    assert run("introspect").returncode == 2
    file.write_text("wrong")
    assert run("introspect", *asking).returncode == 25
    assert run("revoke", "nonsense", "--url", url).returncode == 0
    assert run("revoke", "nonsense", "--url", url, "--client-secret-file", str(file)).returncode == 2


def test_a_piped_token_is_the_one_acted_on_and_stderr_names_it(url: str, ring: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    assert login(url).returncode == 0
    assert login(url, "--tokens", str(other)).returncode == 0
    kept, leaked = kept_in(None).access_token, kept_in(other).access_token
    done = run("revoke", given=f"Authorization: Bearer {leaked}\n")
    assert (done.returncode, f"the token given, jti '{peek(leaked).claims['jti']}'" in done.stderr) == (0, True), (
        done.stderr
    )
    assert run("whoami").returncode == 0
    assert run("whoami", "--tokens", str(other)).returncode == 16
    done = run("revoke", given="\n")
    assert (done.returncode, f"the token kept, jti '{peek(kept).claims['jti']}'" in done.stderr) == (0, True), (
        done.stderr
    )
    assert run("whoami").returncode == 16
    assert kept not in done.stdout + done.stderr


def test_a_token_that_the_service_cannot_know_is_not_said_to_be_revoked_for_sure(url: str, ring: Path) -> None:
    done = run("revoke", "hello", "--url", url)
    assert (done.returncode, "what it does not know it answers alike" in done.stderr) == (0, True)


def test_under_another_name_of_the_service_no_session_is_begun_and_the_kept_one_lives(url: str, ring: Path) -> None:
    assert login(url).returncode == 0
    before = kept_in(None)
    done = login(url.replace("127.0.0.1", "localhost"))
    assert (done.returncode, f"is of another issuer, '{url}'" in done.stderr) == (14, True), done.stderr
    assert "call it by that name" in done.stderr
    assert kept_in(None) == before
    assert run("whoami").returncode == 0


def test_why_a_service_does_not_answer_is_said_before_the_password_is_read(
    url: str, ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = write_certificate(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    tls = ("--tls-cert", str(pair["ssl_certfile"]), "--tls-key", str(pair["ssl_keyfile"]))
    flags = ("--data", str(tmp_path / "d"), "--port", "0", *tls)
    command = [sys.executable, "-m", "admit.cli", "serve", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            secure = json.loads(process.stdout.readline())["url"]
            causes = {
                "http://127.0.0.1:9": "All connection attempts failed'; is it running?",
                secure: "name that one's certificate in SSL_CERT_FILE",
                secure.replace(
                    "https", "http"
                ): "Server disconnected without sending a response.'; does it speak https?",
                url.replace("http", "https"): "it seems to speak plain http",
            }
            for asked, cause in causes.items():
                done = run("login", asked, "--user", "alice", "--password-env", "NOT_THERE")
                assert (done.returncode, done.stderr.count("\n")) == (14, 1)
                assert done.stderr.endswith(f"{cause}\n"), done.stderr
        finally:
            process.terminate()


@pytest.mark.parametrize("command", ["login", "revoke", "introspect", "whoami", "refresh", "logout"])
def test_without_a_service_it_is_14_and_no_token_is_shown(command: str, ring: Path, tmp_path: Path) -> None:
    gone = "http://127.0.0.1:9"
    if command == "login":
        done = login(gone)
    else:
        keep(None, Kept(gone, "alice", 2**32, "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA", "admit_rt_x"))
        (tmp_path / "secret").write_text("x")
        more = ("--client-id", "a", "--client-secret-file", str(tmp_path / "secret")) if command == "introspect" else ()
        done = run(command, *more)
    assert done.returncode == 14
    assert "is it running?" in done.stderr
    assert not TOKEN.search(done.stdout + done.stderr)


def test_the_repr_of_a_kept_session_shows_no_token() -> None:
    assert "secret" not in repr(Kept("https://a", "alice", 1, "secret-a", "secret-r"))


def test_a_password_is_asked_for_and_never_shown(url: str, tmp_path: Path) -> None:
    tokens = str(tmp_path / "t.json")
    code, shown = in_terminal(
        ["login", url, "--user", "alice", "--tokens", tokens], {"Password: ": f"{PASSWORD}\n"}, HOME=str(tmp_path)
    )
    assert code == 0, shown
    assert PASSWORD not in shown
    code, shown = in_terminal(["whoami", "--tokens", tokens], HOME=str(tmp_path))
    assert code == 0, shown
    assert re.search(r'^user +"alice" *$', plain(shown), re.MULTILINE)
