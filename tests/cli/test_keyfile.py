"""Key files as any tool writes them: whatever `jwt key` writes, and OpenSSL's other forms, are read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from admit import Key, Signer
from admit.tokens.kinds import PLAIN
from tests.helpers.command import run

IN_TEXT = "0123456789abcdef0123456789abcdef"
TOKEN = Signer(Key.generate("ES256"), issuer="me", kind=PLAIN).sign()


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


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_kid_that_a_form_does_not_hold_is_refused_or_said(form: str) -> None:
    done = run("key", "generate", f"k.{form}", "--kid", "mine")
    assert (done.returncode, f"{form.upper()} holds no kid" in done.stderr, Path(f"k.{form}").exists()) == (
        2,
        True,
        False,
    )
    run("key", "generate", "k.jwk", "--kid", "mine")
    for words in (("convert", "k.jwk", f"p.{form}"), ("public", "k.jwk", "--to", form, "--out", f"p2.{form}")):
        done = run("key", *words)
        assert f"the key is called {shown('k.jwk')['thumbprint']}" in done.stderr
        assert shown(words[-1])["kid"] == shown("k.jwk")["thumbprint"]
    assert run("key", "generate", f"other.{form}", "-q").stderr == ""


def test_an_algorithm_that_a_form_does_not_hold_is_said() -> None:
    assert "whoever reads the key says --alg PS256" in run("key", "generate", "k.pem", "--alg", "PS256").stderr
    assert "--alg" not in run("key", "generate", "e.pem").stderr
    assert "--alg" not in run("key", "generate", "k.jwk", "--alg", "PS256").stderr


def test_a_key_of_a_kind_that_signs_nothing_is_named() -> None:
    lock = NoEncryption()
    for key, kind in ((dsa.generate_private_key(2048), "DSA"), (x25519.X25519PrivateKey.generate(), "X25519")):
        Path("k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        done = run("key", "show", "k.pem")
        assert (done.returncode, f"no signature algorithm takes this {kind} key" in done.stderr) == (2, True), (
            done.stderr
        )
    assert shown("k.pem", "--alg", "ECDH-ES+A256KW")["half"] == "private"
    Path("k.pem").write_bytes(
        rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    )
    assert "2048" in run("key", "show", "k.pem").stderr


def test_an_openssh_key_is_named() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for data in (
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ):
        Path("id").write_bytes(data)
        done = run("key", "show", "id")
        assert (done.returncode, "an OpenSSH key" in done.stderr) == (2, True), done.stderr


def test_a_url_and_a_file_in_each_others_place_are_told_apart() -> None:
    done = run("verify", TOKEN, "--key", "https://auth.example/jwks", "--unchecked")
    assert (done.returncode, "--jwks" in done.stderr) == (2, True), done.stderr
    done = run("verify", TOKEN, "--jwks", "keys.json", "--unchecked")
    assert (done.returncode, "--key FILE" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "-", "--key", "-", "--unchecked"),
        ("verify", "--key", "-", "--unchecked"),
        ("verify", "--scan", "-", "--key", "-", "--unchecked"),
        ("sign", "--iss", "me", "--key", "-", "--claims", "-"),
        ("encrypt", "--raw", "-", "--key", "-"),
        ("decrypt", "-", "--secret-file", "-"),
    ],
)
def test_stdin_is_one_thing_only(words: tuple[str, ...]) -> None:
    done = run(*words, given=TOKEN)
    assert (done.returncode, "stdin can be one thing only" in done.stderr) == (2, True), done.stderr


def test_a_jwk_without_alg_is_told_of_by_the_name_of_an_option() -> None:
    Path("keys.json").write_text(json.dumps({"keys": [{"kty": "AKP", "pub": "AA"}]}))
    done = run("jwks", "show", "keys.json")
    assert ("alg=" in done.stdout, "--alg" in done.stdout) == (False, True), done.stdout
