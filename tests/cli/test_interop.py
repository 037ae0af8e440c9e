"""Tokens and keys that `jwt` makes are read by PyJWT, joserfc and openssl, and the reverse."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joserfc.jwe
import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
import pytest

from tests.helpers.command import run

EXPECTED = ("--iss", "me", "--aud", "x")


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("alg", ["ES256", "ES384", "RS256", "PS256"])
def test_a_token_of_ours_is_read_by_the_others(alg: str, tmp_path: Path) -> None:
    private, public = str(tmp_path / "k.pem"), str(tmp_path / "p.pem")
    made = run("key", "generate", private, "--alg", alg)
    assert run("key", "public", private, "--alg", alg, "--to", "pem", "--out", public).returncode == 0
    token = run("sign", "--key", private, "--alg", alg, "--sub", "alice", *EXPECTED).stdout.strip()
    assert pyjwt.decode(token, Path(public).read_text(), [alg], audience="x", issuer="me")["sub"] == "alice"
    key = joserfc.jwk.import_key(json.loads(made.stdout))
    assert joserfc.jwt.decode(token, key, algorithms=[alg]).claims["sub"] == "alice"
    assert "Public-Key" in openssl("pkey", "-pubin", "-in", public, "-noout", "-text")
    assert openssl("pkey", "-in", private, "-pubout") == Path(public).read_text()


@pytest.mark.parametrize(
    ("alg", "how"), [("ES256", ["EC", "ec_paramgen_curve:P-256"]), ("RS256", ["RSA", "rsa_keygen_bits:2048"])]
)
def test_a_key_of_openssl_and_a_token_of_pyjwt_are_read(alg: str, how: list[str], tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "p.pem"
    private.write_text(openssl("genpkey", "-algorithm", how[0], "-pkeyopt", how[1]))
    public.write_text(openssl("pkey", "-in", str(private), "-pubout"))
    now = datetime.now(UTC)
    claims = {"iss": "me", "aud": "x", "sub": "alice", "iat": now, "exp": now + timedelta(minutes=5)}
    token = pyjwt.encode(claims, private.read_text(), alg)
    done = run("verify", token, "--key", str(public), "--alg", alg, *EXPECTED, "--field", "sub")
    assert (done.returncode, done.stdout) == (0, "alice\n"), done.stderr


def test_an_encrypted_token_goes_both_ways(tmp_path: Path) -> None:
    file, text = tmp_path / "k.jwk", b'{"sub":"alice"}'
    run("key", "generate", str(file), "--alg", "ECDH-ES+A256KW")
    members = json.loads(file.read_text())
    key = joserfc.jwk.import_key({name: value for name, value in members.items() if name != "key_ops"})
    algorithms = ["ECDH-ES+A256KW", "A256GCM"]
    ours = run("encrypt", "--raw", "-", "--key", str(file), given=text).stdout.strip()
    assert joserfc.jwe.decrypt_compact(ours, key, algorithms=algorithms).plaintext == text
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": members["kid"]}
    theirs = joserfc.jwe.encrypt_compact(header, text, key, algorithms=algorithms)
    assert run("decrypt", theirs, "--key", str(file)).stdout == text.decode()
