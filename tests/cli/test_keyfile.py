"""Key files as any tool writes them: whatever `jwt key` writes, and OpenSSL's other forms, are read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from admit import Key
from tests.helpers.command import run

IN_TEXT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(file: str, *more: str) -> dict[str, object]:
    done = run("key", "show", file, *more)
    assert done.returncode == 0, done.stderr
    members: dict[str, object] = json.loads(done.stdout)[0]
    return members


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "ML-DSA-44"])
def test_the_der_that_generate_and_convert_write_signs_and_verifies(alg: str) -> None:
    made = json.loads(run("key", "generate", "k.der", "--alg", alg).stdout)
    assert run("key", "convert", "k.der", "p.der").returncode == 0
    assert (shown("k.der")["half"], shown("p.der")["half"]) == ("private", "public")
    assert shown("k.der")["kid"] == shown("p.der")["kid"] == made["kid"]
    signed = run("sign", "--key", "k.der", "--iss", "me", "-q")
    assert run("verify", signed.stdout.strip(), "--key", "p.der", "--unchecked", "-q").returncode == 0


def test_der_of_other_tools_is_read() -> None:
    forms = (
        ("sec1", ec.generate_private_key(ec.SECP256R1()), ()),
        ("pkcs1", rsa.generate_private_key(65537, 2048), ("--alg", "PS256")),
    )
    for name, key, more in forms:
        Path(name).write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        assert shown(name, *more)["half"] == "private"


def test_encrypted_der_is_opened_with_the_password_in_a_file() -> None:
    Path("password").write_text("correct horse")
    assert run("key", "generate", "k.der", "--password-file", "password").returncode == 0
    assert shown("k.der", "--password-file", "password")["alg"] == "ES256"


def test_a_secret_in_text_is_not_taken_for_der() -> None:
    Path("secret").write_text(IN_TEXT)
    done = run("key", "show", "secret")
    assert (done.returncode, "a bare secret belongs to --secret-file" in done.stderr) == (2, True)
    Path("cut.der").write_bytes(Key.generate("ES256").to_der(private=True)[:40])
    assert run("key", "show", "cut.der").returncode == 2
