"""What no command may answer with a traceback: missing files, empty stdin, junk, 50 MB, no service, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest

from admit import Key, Signer
from admit.cli.token_store import Kept, keep
from admit.jose.jwe import encrypt
from admit.tokens.kinds import PLAIN
from tests.cli.test_help import ALL
from tests.helpers.command import Done, run

JWT = str(Path(sys.executable).parent / "jwt")
JUNK = bytes(range(256)) * 40
SECRET = ("--secret-env", "BAD_INPUT_SECRET")
GONE = "http://127.0.0.1:9"
GIVEN = {
    "empty": b"",
    "junk": JUNK,
    "nul": b"\0",
    "nested": b"{" * 5000,
    "huge": b"a" * (1024 * 1024 + 1),
    "50 MB": bytes(50_000_000),
}
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
    "verify scan": ("verify", "--scan", "-", *SECRET, "--unchecked"),
    "verify key": ("verify", "TOKEN", "--key", "-", "--unchecked"),
    "lint scan": ("lint", "--scan", "-"),
    "lint wordlist": ("lint", "TOKEN", "--wordlist", "-"),
    "encrypt key": ("encrypt", "TOKEN", "--key", "-"),
    "admin users add": ("admin", "users", "add", "a", "--password-stdin", "--data", "d"),
    "admin users passwd": ("admin", "users", "passwd", "a", "--password-stdin", "--data", "d"),
    "admin users import": ("admin", "users", "import", "given", "--data", "d"),
    "admin clients add": ("admin", "clients", "add", "a", "--audience", "b", "--jwks", "-", "--data", "d"),
    "admin clients set-keys": ("admin", "clients", "set-keys", "a", "-", "--data", "d"),
    "admin keys import": ("admin", "keys", "import", "-", "--data", "d"),
    "serve": ("serve", "--config", "given", "--print-config"),
    "admin doctor": ("admin", "doctor", "--config", "given"),
    "whoami": ("whoami", "--tokens", "given"),
    "refresh": ("refresh", "--tokens", "given"),
    "logout": ("logout", "--tokens", "given"),
}
# What may be in a file or on stdin as it pleases: a log without a token, content of any sort, settings of none.
ANY = {"encrypt raw", "lint", "lint scan", "lint wordlist", "serve", "admin doctor"}
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
    "introspect": ("introspect", "--client-id", "a", "--client-secret-file", "absent"),
    "verify scan": ("verify", "--scan", "absent", *SECRET, "--unchecked"),
    "verify secret": ("verify", "TOKEN", "--secret-file", "absent", "--unchecked"),
    "verify a good token": ("verify", "TOKEN", "--key", "absent", "--unchecked"),
    "lint wordlist": ("lint", "TOKEN", "--wordlist", "absent"),
    "encrypt key": ("encrypt", "TOKEN", "--key", "absent"),
    "encrypt raw": ("encrypt", "--raw", "absent", *SECRET, "--alg", "A256KW"),
    "decrypt key": ("decrypt", "SEALED", "--key", "absent"),
    "sign claims": ("sign", "--iss", "me", "--claims", "@absent", *SECRET),
    "key generate": ("key", "generate", "absent/key.jwk"),
    "key generate password": ("key", "generate", "key.pem", "--password-file", "absent"),
    "key public": ("key", "public", "absent"),
    "key convert": ("key", "convert", "absent", "out.pem"),
    "key thumbprint": ("key", "thumbprint", "absent"),
    "admin users import": ("admin", "users", "import", "absent", "--data", "d"),
    "admin clients add": ("admin", "clients", "add", "a", "--audience", "b", "--jwks", "absent", "--data", "d"),
    "admin clients set-keys": ("admin", "clients", "set-keys", "a", "absent", "--data", "d"),
    "admin keys import": ("admin", "keys", "import", "absent", "--data", "d"),
    "serve": ("serve", "--config", "absent"),
    "admin doctor": ("admin", "doctor", "--config", "absent"),
}
# A key of the wrong sort -> the exit code. Files: pair.jwk, public.jwk, secret.jwk to sign with, seal.jwk to encrypt with.
WRONG_KEYS = {
    ("verify", "TOKEN", "--key", "seal.jwk", "--unchecked"): 13,
    ("verify", "TOKEN", "--key", "pair.jwk", "--unchecked"): 13,
    ("verify", "TOKEN", "--key", "pair.jwk", "--alg", "RS256", "--unchecked"): 2,
    ("verify", "TOKEN", "--key", "pair.jwk", *SECRET, "--unchecked"): 2,
    ("sign", "--iss", "me", "--key", "public.jwk"): 2,
    ("sign", "--iss", "me", "--key", "seal.jwk"): 2,
    ("encrypt", "TOKEN", "--key", "pair.jwk"): 2,
    ("decrypt", "SEALED", "--key", "pair.jwk"): 13,
    ("key", "public", "secret.jwk"): 2,
    ("key", "thumbprint", "secret.jwk"): 2,
    ("key", "convert", "public.jwk", "out.pem", "--private"): 2,
    ("key", "show", "pair.jwk", "--alg", "RS256"): 2,
    ("jwks", "serve", "secret.jwk", "--port", "0"): 2,
    ("admin", "keys", "import", "public.jwk", "--data", "d"): 25,
    ("admin", "keys", "import", "secret.jwk", "--data", "d"): 25,
    ("admin", "keys", "import", "seal.jwk", "--data", "d"): 25,
    ("admin", "clients", "add", "a", "--audience", "b", "--jwks", "pair.jwk", "--data", "d"): 25,
    ("admin", "clients", "add", "a", "--audience", "b", "--jwks", "secret.jwk", "--data", "d"): 25,
}
UNREACHABLE = [
    ("discover", GONE),
    ("jwks", "fetch", GONE),
    ("jwks", "fetch", GONE, "--issuer"),
    ("jwks", "show", GONE),
    ("jwks", "diff", GONE, GONE),
    ("verify", "TOKEN", "--jwks", GONE, "--unchecked"),
    ("verify", "TOKEN", "--discover", "--iss", GONE, "--unchecked"),
    ("verify", "--scan", "log", "--discover", "--iss", GONE, "--unchecked"),
    ("login", GONE, "--user", "a", "--password-env", SECRET[1]),
    ("revoke", "TOKEN", "--url", GONE),
    ("introspect", "TOKEN", "--url", GONE, "--client-id", "a", "--client-secret-env", SECRET[1]),
    *((name, "--tokens", "kept") for name in ("whoami", "refresh", "logout", "revoke")),
]
# They read no file, no stdin and no network that anybody else could have spoilt; the rest of `admin` reads its database alone.
NOTHING_TO_SPOIL = {"bench", "completion", "man", "demo"}


@pytest.fixture(scope="module")
def named() -> dict[str, str]:
    """A signed and an encrypted token."""
    secret = b"0123456789abcdef0123456789abcdef"
    token = Signer(Key.from_secret(secret, "HS256"), issuer="me", kind=PLAIN).sign()
    return {"TOKEN": token, "SEALED": encrypt(Key.from_secret(secret, "A256KW"), token.encode())}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET[1], "0123456789abcdef0123456789abcdef")
    Path("log").write_text(named["TOKEN"])
    keep(Path("kept"), Kept(GONE, "a", 2**32, named["TOKEN"], "admit_rt_x"))


def checked(arguments: Sequence[str], named: Mapping[str, str], given: bytes = b"") -> Done:
    """Run it; whatever it answers has neither a traceback nor a secret in it."""
    done = run(*(named.get(word, word) for word in arguments), given=given)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "unexpected" not in done.stderr
    assert "0123456789abcdef0123" not in said
    return done


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", READ)
def test_whatever_is_on_stdin_is_answered_with_a_verdict(name: str, given: str, named: dict[str, str]) -> None:
    if "given" in READ[name]:
        Path("given").write_bytes(GIVEN[given])
    done = checked(READ[name], named, GIVEN[given])
    assert done.returncode not in (0, 1) or name in ANY


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_one_line_and_2(name: str, named: dict[str, str]) -> None:
    done = checked(FILES[name], named)
    # A token is judged before a key is looked for.
    assert done.returncode == (15 if name == "verify key" else 2), done.stderr
    assert done.stderr.removeprefix("There was no service in d: this is a new one.\n").count("\n") == 1


@pytest.mark.parametrize("arguments", WRONG_KEYS, ids=" ".join)
def test_a_key_of_the_wrong_sort_is_refused(arguments: tuple[str, ...], named: dict[str, str]) -> None:
    Path("public.jwk").write_text(run("key", "generate", "pair.jwk").stdout)
    run("key", "generate", "secret.jwk", "--alg", "HS256")
    run("key", "generate", "seal.jwk", "--alg", "ECDH-ES+A256KW")
    done = checked(arguments, named)
    assert done.returncode == WRONG_KEYS[arguments], done.stderr
    assert '"d"' not in done.stdout


@pytest.mark.parametrize("arguments", UNREACHABLE, ids=" ".join)
def test_without_a_network_it_is_14(arguments: tuple[str, ...], named: dict[str, str]) -> None:
    done = checked(arguments, named)
    assert (done.returncode, done.stderr.count("\n")) == (14, 1), done.stderr
    assert named["TOKEN"] not in done.stdout + done.stderr


def test_every_command_is_given_something_bad() -> None:
    leaves = {path.removeprefix("jwt ") for path, at in ALL.items() if not isinstance(at.command, click.Group)}
    shown = {
        " ".join(words[: leaf.count(" ") + 1])
        for leaf in leaves
        for words in [*READ.values(), *FILES.values(), *UNREACHABLE]
    }
    beyond = {leaf for leaf in leaves - shown - NOTHING_TO_SPOIL if not leaf.startswith("admin ")}
    assert not beyond


ADMIN = {
    "users list": (),
    "users disable": ("a",),
    "users enable": ("a",),
    "users totp enroll": ("a",),
    "users totp confirm": ("a", "000000"),
    "users totp recovery-codes": ("a",),
    "users totp remove": ("a",),
    "clients list": (),
    "clients show": ("a",),
    "clients rotate-secret": ("a",),
    "clients remove": ("a",),
    "sessions list": ("a",),
    "sessions end": ("a", "--all"),
    "keys list": (),
    "keys rotate": (),
    "keys retire": ("ES256",),
    "keys revoke": ("a",),
    "keys rotate-mac": (),
    "keys rewrap": (),
    "audit": (),
    "db current": (),
    "db check": (),
    "db upgrade": (),
    "db restored": (),
}


@pytest.mark.parametrize("name", ADMIN)
def test_a_damaged_or_an_unreachable_database_is_22(name: str, named: dict[str, str]) -> None:
    Path("d").mkdir(mode=0o700)
    Path("d/admit.db").write_bytes(JUNK)
    nowhere = ("--database", "postgresql+psycopg://127.0.0.1:9/none")
    for more in ((), nowhere):
        done = checked(("admin", *name.split(), *ADMIN[name], "--data", "d", *more), named)
        assert (done.returncode, done.stderr.count("\n")) == (22, 1), done.stderr


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
