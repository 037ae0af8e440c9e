"""Ctrl-C and a reader that goes away, for every command: an exit code, at most a line, and never a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import click
import pytest

from admit import Key, Signer
from admit.cli.entry import run as run_command
from admit.cli.token_store import Kept, keep
from admit.tokens.kinds import PLAIN
from tests.cli.test_help import ALL
from tests.helpers.command import run

SECONDS = 20
SECRET = "0123456789abcdef0123456789abcdef"
NAMED = ("--secret-env", "SECRET")
CLIENT = ("--client-id", "a", "--client-secret-env", "SECRET")
LEAVES = {path.removeprefix("jwt ") for path, at in ALL.items() if not isinstance(at.command, click.Group)}

# Commands that wait: for the end of stdin,
READING = [
    ("decode", "-"),
    ("explain", "-"),
    ("verify", "-", *NAMED, "--unchecked"),
    ("verify", "--scan", "-", *NAMED, "--unchecked"),
    ("lint", "-"),
    ("lint", "--scan", "-"),
    ("sign", "--iss", "me", "--key", "-"),
    ("sign", "--iss", "me", "--claims", "-", *NAMED),
    ("encrypt", "-", *NAMED, "--alg", "A256KW"),
    ("decrypt", "-", *NAMED, "--alg", "A256KW"),
    ("key", "show", "-"),
    ("key", "public", "-"),
    ("key", "thumbprint", "-"),
    ("key", "convert", "-", "-"),
    ("jwks", "show", "-"),
    ("jwks", "diff", "-", "absent"),
    ("revoke", "-", "--url", "http://127.0.0.1:9"),
    ("introspect", "-", "--url", "http://127.0.0.1:9", *CLIENT),
    ("admin", "users", "add", "a", "--password-stdin", "--data", "d"),
    ("admin", "users", "passwd", "a", "--password-stdin", "--data", "d"),
    ("admin", "users", "import", "/dev/stdin", "--data", "d"),
    ("admin", "clients", "add", "a", "--audience", "b", "--jwks", "-", "--data", "d"),
    ("admin", "clients", "set-keys", "a", "-", "--data", "d"),
    ("admin", "keys", "import", "-", "--data", "d"),
]
# for a service that does not answer,
ASKING = [
    ("discover", "URL"),
    ("jwks", "fetch", "URL"),
    ("jwks", "show", "URL"),
    ("jwks", "diff", "URL", "URL"),
    ("verify", "TOKEN", "--jwks", "URL", "--unchecked"),
    ("verify", "TOKEN", "--discover", "--iss", "URL", "--unchecked"),
    ("login", "URL", "--user", "a", "--password-env", "SECRET"),
    ("refresh",),
    ("logout",),
    ("whoami",),
    ("revoke", "TOKEN", "--url", "URL"),
    ("introspect", "TOKEN", "--url", "URL", *CLIENT),
]
# for Ctrl-C itself, with what their stdout begins with and their exit code.
RUNNING = {
    ("serve", "--port", "0", "--data", "d"): ("{", 0),
    ("jwks", "serve", "public.jwk", "--port", "0"): ("{", 0),
    ("demo",): ("  1. the token service", 130),
}
# It works as long as it is told to: tests/cli/test_bad_input.py.
WORKING = {"bench"}
# The rest answers at once.
AT_ONCE = {"completion", "man", "key generate"} | {
    leaf for leaf in LEAVES if leaf.startswith("admin ") and not leaf.endswith(("users import", "passwd"))
}


@pytest.fixture(scope="module")
def token() -> str:
    return Signer(Key.from_secret(SECRET.encode(), "HS256"), issuer="me", kind=PLAIN).sign()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "public.jwk").write_text(str(Key.generate("ES256").to_jwk()).replace("'", '"'))
    return tmp_path


@contextmanager
def started(path: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": path, "HOME": str(folder), "SECRET": SECRET, "LANG": "C.UTF-8"}
    with subprocess.Popen(
        ["jwt", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """The exit code, what stdout and stderr show."""
    process.send_signal(signal.SIGINT)
    stdin, process.stdin = process.stdin, None  # it stays open: the end of stdin is no Ctrl-C
    out, err = process.communicate(timeout=SECONDS)
    process.stdin, said = stdin, err.decode()
    assert "Traceback" not in said
    assert "unexpected" not in said
    return process.returncode, out.decode(), said.strip()


def taken(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write to its stdin, and wait until it has read that and wants more."""
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()
    deadline = time.monotonic() + SECONDS
    while int.from_bytes(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)), sys.byteorder):
        assert time.monotonic() < deadline, "it does not read its stdin"
        time.sleep(0.01)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_ctrl_c_ends_what_waits_for_its_stdin(arguments: tuple[str, ...], path: str, folder: Path) -> None:
    with started(path, folder, *arguments) as process:
        taken(process, b"x")
        code, _, said = interrupted(process)
    assert code == 130
    assert said.count("\n") <= 2


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
def test_ctrl_c_ends_what_waits_for_a_service(
    arguments: tuple[str, ...], path: str, folder: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        keep(folder / ".local/state/admit/tokens.json", Kept(url, "a", 2**32, token, "admit_rt_x"), "file")
        named = {"URL": url, "TOKEN": token}
        with started(path, folder, *(named.get(word, word) for word in arguments)) as process:
            connection, _ = silent.accept()
            with connection:
                assert interrupted(process) == (130, "", "")


@pytest.mark.parametrize("arguments", RUNNING, ids=" ".join)
def test_ctrl_c_ends_what_runs_until_then(arguments: tuple[str, ...], path: str, folder: Path) -> None:
    first, expected = RUNNING[arguments]
    with started(path, folder, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline().decode().startswith(first)
        code, _, said = interrupted(process)
    assert (code, said) == (expected, "")


def test_an_interrupted_scan_tells_what_it_judged(path: str, folder: Path, token: str) -> None:
    arguments = ("verify", "--scan", "-", *NAMED, "--unchecked")
    with started(path, folder, *arguments) as process:
        taken(process, f"GET / Bearer {token}\nGET / Bearer {token[:-2]}AA\n".encode())
        assert process.stdout is not None
        judged = [json.loads(process.stdout.readline())["verified"] for _ in range(2)]
        code, out, said = interrupted(process)
    assert (code, judged) == (130, [True, False])
    assert said.splitlines()[:1] + said.splitlines()[-1:] == [
        "2 tokens: 1 valid, 1 refused (1 bad signature)",
        "Interrupted: that is what was judged until then.",
    ]
    assert token not in out + said


def test_an_interrupted_guess_is_told_from_a_finished_one(path: str, folder: Path, token: str) -> None:
    os.mkfifo(folder / "words")
    with started(path, folder, "lint", "--scan", "-", "--wordlist", "words") as process:
        with open(folder / "words", "wb") as words:
            words.write(b"".join(b"word%d\n" % number for number in range(500_000)))
        taken(process, token.encode() + b"\n")
        code, out, said = interrupted(process)
    assert code == 130, out + said
    assert said.startswith("Interrupted: that is what was found in")


def test_every_command_is_interrupted_in_a_test_or_answers_at_once() -> None:
    shown = {leaf for row in [*READING, *ASKING, *RUNNING] for leaf in LEAVES if _is(leaf, row)}
    assert shown | WORKING | AT_ONCE == LEAVES


def _is(leaf: str, row: tuple[str, ...]) -> bool:
    words = tuple(leaf.split())
    return row[: len(words)] == words


@pytest.mark.parametrize("command", ALL)
def test_a_reader_that_goes_away_is_no_error_to_tell_of(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as gone, mock.patch.object(sys, "stdout", gone):
        code = run_command([*command.split()[1:], "--help"])
    assert (int(code), capfd.readouterr().err) == (141, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("decode", "TOKEN", "-q"),
        ("explain", "TOKEN", "-q"),
        ("verify", "TOKEN", *NAMED, "--unchecked"),
        ("verify", "--scan", "log", *NAMED, "--unchecked"),
        ("lint", "TOKEN"),
        ("sign", "--iss", "me", *NAMED, "-q"),
        ("encrypt", "TOKEN", *NAMED, "--alg", "A256KW", "-q"),
        ("key", "generate", "-", "-q"),
        ("key", "show", "public.jwk"),
        ("jwks", "show", "public.jwk"),
        ("serve", "--print-config"),
        ("bench", "--alg", "HS256", "--seconds", "0.01"),
        ("completion", "bash"),
        ("man",),
        ("admin", "keys", "list", "--data", "d"),
        ("admin", "audit", "--data", "d"),
    ],
    ids=" ".join,
)
def test_what_a_command_writes_may_have_no_reader(
    arguments: tuple[str, ...], path: str, folder: Path, token: str
) -> None:
    (folder / "log").write_text(f"{token}\n" * 2)
    if "admin" in arguments:
        run("admin", "clients", "add", "api", "--audience", "orders", "--data", str(folder / "d"))
    words = [token if word == "TOKEN" else word for word in arguments]
    reading, writing = os.pipe()
    os.close(reading)
    environment = {"PATH": path, "HOME": str(folder), "SECRET": SECRET}
    done = subprocess.run(
        ["jwt", *words], cwd=folder, env=environment, stdin=-3, stdout=writing, stderr=-1, timeout=SECONDS
    )
    os.close(writing)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
