"""What no command may answer with a traceback: missing files, empty stdin, junk, 50 MB, no service, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.command import run

JWT = str(Path(sys.executable).parent / "jwt")
JUNK = bytes(range(256)) * 40
SECRET = ("--secret-env", "BAD_INPUT_SECRET")
GIVEN = {"empty": b"", "junk": JUNK, "nul": b"\0", "nested": b"{" * 5000, "huge": b"a" * (1024 * 1024 + 1)}
READ = {
    "decode": ("decode", "-"),
    "explain": ("explain", "-"),
    "verify": ("verify", "-", *SECRET, "--unchecked"),
    "lint": ("lint", "-"),
    "encrypt": ("encrypt", "-", *SECRET, "--alg", "A256KW"),
    "encrypt raw": ("encrypt", "--raw", "-", *SECRET, "--alg", "A256KW"),
    "decrypt": ("decrypt", "-", *SECRET, "--alg", "A256KW"),
    "sign": ("sign", "--iss", "me", "--claims", "-", *SECRET),
    "sign key": ("sign", "--iss", "me", "--key", "-"),
    "key show": ("key", "show", "-"),
    "key public": ("key", "public", "-"),
    "key thumbprint": ("key", "thumbprint", "-"),
    "key convert": ("key", "convert", "-", "-"),
    "jwks show": ("jwks", "show", "-"),
    "jwks diff": ("jwks", "diff", "-", "absent"),
    "jwks serve": ("jwks", "serve", "-", "--port", "0"),
    "revoke": ("revoke", "-", "--url", "http://127.0.0.1:9"),
    "introspect": (
        "introspect",
        "-",
        "--url",
        "http://127.0.0.1:9",
        "--client-id",
        "a",
        "--client-secret-env",
        SECRET[1],
    ),
    "login": ("login", "http://127.0.0.1:9", "--user", "a", "--password-stdin"),
}
FILES = {
    "decode": ("decode", "@absent"),
    "explain": ("explain", "@absent"),
    "verify": ("verify", "@absent", *SECRET, "--unchecked"),
    "verify key": ("verify", "a.b.c", "--key", "absent", "--unchecked"),
    "lint": ("lint", "--scan", "absent"),
    "encrypt": ("encrypt", "@absent", *SECRET, "--alg", "A256KW"),
    "decrypt": ("decrypt", "@absent", *SECRET, "--alg", "A256KW"),
    "sign": ("sign", "--iss", "me", "--key", "absent"),
    "key show": ("key", "show", "absent"),
    "jwks show": ("jwks", "show", "absent"),
    "jwks diff": ("jwks", "diff", "absent", "absent"),
    "jwks serve": ("jwks", "serve", "absent", "--port", "0"),
    "whoami": ("whoami", "--tokens", "absent"),
    "refresh": ("refresh", "--tokens", "absent"),
    "logout": ("logout", "--tokens", "absent"),
    "revoke": ("revoke", "--tokens", "absent"),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET[1], "0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    "given", [b"", JUNK, b"\0", b"{" * 5000, b"a" * (1024 * 1024 + 1)], ids=["empty", "junk", "nul", "nested", "huge"]
)
@pytest.mark.parametrize("name", READ)
def test_whatever_is_on_stdin_is_answered_with_a_verdict(name: str, given: bytes) -> None:
    done = run(*READ[name], given=given)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "unexpected" not in done.stderr
    assert done.returncode not in (0, 1) or name in ("encrypt raw", "lint")
    assert "0123456789abcdef0123" not in said


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_one_line_and_2(name: str) -> None:
    done = run(*FILES[name])
    # A token is judged before a key is looked for.
    assert done.returncode == (15 if name == "verify key" else 2)
    assert "Traceback" not in done.stderr


def test_fifty_megabytes_on_stdin_are_not_all_read() -> None:
    for command in ("decode", "explain", "verify --unchecked --secret-env X", "decrypt --secret-env X --alg A256KW"):
        line = f"head -c 50000000 /dev/zero | '{JWT}' {command} -"
        done = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, timeout=60, env={"X": "x" * 32, "PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode, "Traceback" in done.stderr) == (15, False)


def test_an_interrupted_bench_writes_what_it_measured() -> None:
    with subprocess.Popen(
        [JWT, "bench", "--alg", "HS256", "--alg", "ES256", "--seconds", "20"], stdout=-1, stderr=-1
    ) as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out.strip()) == (130, b"[]")
    assert b"Interrupted: 0 of 2 algorithms were measured." in err


def test_the_bench_measures_what_it_is_asked_for() -> None:
    done = run("bench", "--alg", "HS256", "--seconds", "0.02")
    assert done.returncode == 0
    assert '"alg": "HS256"' in done.stdout
