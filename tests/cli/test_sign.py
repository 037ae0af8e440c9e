"""`jwt sign` where its transcript cannot show it: headers, times, and secrets in base64."""

from __future__ import annotations

import json
import time
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from admit import peek
from tests.helpers.command import Done, run

SECRET = bytes(range(200, 240))
NAMED = ("--secret-env", "SIGN_SECRET")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGN_SECRET", "0123456789abcdef0123456789abcdef")


def sign(*more: str) -> Done:
    return run("sign", "--iss", "me", "--aud", "a", "-q", *NAMED, *more)


def verify(token: str, *named: str) -> Done:
    return run("verify", token.strip(), "--iss", "me", "--aud", "a", *(named or NAMED))


@pytest.mark.parametrize(
    ("said", "meant"), [("--exp", "--lifetime"), ("--ttl", "--lifetime"), ("--payload", "--claims")]
)
def test_an_option_by_another_name_is_answered_with_its_own(said: str, meant: str) -> None:
    done = run("sign", "--iss", "me", said, "10m")
    assert (done.returncode, f"No such option: {said}. Did you mean {meant}?" in done.stderr) == (2, True), done.stderr
    assert meant not in run("decode", said, "10m").stderr


def test_further_header_parameters_are_signed() -> None:
    done = sign("--header", "cty=x=y", "--header", "nonce=1", "--jti", "my-id")
    header = json.loads(verify(done.stdout).stdout)["header"]
    assert (header["cty"], header["nonce"], header["typ"], header["alg"]) == ("x=y", "1", "JWT", "HS256")
    assert peek(done.stdout.strip()).claims["jti"] == "my-id"


@pytest.mark.parametrize("given", ["alg=none", "kid=x", "typ=JWT", "cty", "=x", "crit=exp", "b64=x"])
def test_what_the_key_and_the_kind_say_has_no_other_place(given: str) -> None:
    done = sign("--header", given)
    assert (done.returncode in (2, 15), done.stdout) == (True, "")
    assert sign("--header", "a=1", "--header", "a=2").returncode == 2


def test_a_token_for_a_test_is_expired_or_from_the_future_and_never_without_a_remark() -> None:
    for shift, remark in (("-1h", "exp is 50 min ago"), ("+1h", "iat is in 1 h")):
        done = sign("--iat", shift)
        assert "FOR TESTS: " in done.stderr
        assert remark in done.stderr
        assert verify(done.stdout).returncode == 11
    assert abs(peek(sign("--iat", "-30s").stdout.strip()).claims["iat"] - time.time() + 30) < 10
    for wrong in ("1h", "-1", "", "-"):
        assert (done := sign("--iat", wrong)).returncode == 2, done.stderr
    assert sign().stderr == ""


def test_an_access_token_says_which_options_it_needs() -> None:
    done = run("sign", "--iss", "me", "--kind", "access", *NAMED)
    assert (done.returncode, "needs --aud and --sub and --client-id too" in done.stderr) == (2, True), done.stderr


def test_a_secret_may_be_written_in_base64() -> None:
    for number, text in enumerate(
        (b64encode(SECRET), urlsafe_b64encode(SECRET).rstrip(b"="), b64encode(SECRET) + b"\n")
    ):
        Path("b64").write_bytes(text)
        Path("raw").write_bytes(SECRET)
        done = run("sign", "--iss", "me", "--aud", "a", "--secret-file", "b64", "--secret-base64")
        assert verify(done.stdout, "--secret-file", "raw").returncode == 0, number
    Path("b64").write_text("not base64! hunter2")
    done = run("sign", "--iss", "me", "--secret-file", "b64", "--secret-base64")
    assert (done.returncode, "the secret is not base64" in done.stderr, "hunter2" in done.stderr) == (2, True, False)
    Path("k.jwk").write_text(run("key", "generate", "-", "-q").stdout)
    done = run("sign", "--iss", "me", "--key", "k.jwk", "--secret-base64")
    assert (done.returncode, "none is given" in done.stderr) == (2, True), done.stderr
