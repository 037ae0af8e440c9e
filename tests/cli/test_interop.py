"""Tokens and keys that `jwt` makes are read by PyJWT, joserfc, jwcrypto and openssl, and the reverse."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joserfc.jwe
import joserfc.jwk
import joserfc.jwt
import jwcrypto.jwa
import jwcrypto.jwe
import jwcrypto.jwk
import jwt as pyjwt
import pytest

from tests.helpers.command import run

EXPECTED = ("--iss", "me", "--aud", "x")
PASSWORD = "correct horse battery"
CIPHER = ("-aes-256-cbc", "-pass", f"pass:{PASSWORD}")

# Every algorithm for pairs that PyJWT and joserfc know, and how openssl makes a key for it.
PAIRS = {
    "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ES384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ES512": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "ES256K": ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "PS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "Ed25519": ["ED25519"],
    "Ed448": ["ED448"],
}
EDWARDS = ("Ed25519", "Ed448")  # PyJWT and joserfc call them by their older name


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return str(path)


@pytest.mark.parametrize("alg", PAIRS)
def test_a_key_and_a_token_of_ours_are_read_by_the_others(alg: str, tmp_path: Path) -> None:
    private, public = str(tmp_path / "k.pem"), str(tmp_path / "p.pem")
    made = run("key", "generate", private, "--alg", alg)
    assert run("key", "public", private, "--alg", alg, "--to", "pem", "--out", public).returncode == 0
    token = run("sign", "--key", private, "--alg", alg, "--sub", "alice", *EXPECTED).stdout.strip()
    assert openssl("pkey", "-in", private, "-pubout") == Path(public).read_text()
    assert "Public" in openssl("pkey", "-pubin", "-in", public, "-noout", "-text")
    key = joserfc.jwk.import_key(json.loads(made.stdout))
    assert joserfc.jwt.decode(token, key, algorithms=[alg]).claims["sub"] == "alice"
    if alg not in EDWARDS:
        assert pyjwt.decode(token, Path(public).read_text(), [alg], audience="x", issuer="me")["sub"] == "alice"
    assert (
        pyjwt.PyJWK(json.loads(made.stdout), "EdDSA" if alg in EDWARDS else alg).key_id
        == json.loads(made.stdout)["kid"]
    )


@pytest.mark.parametrize("alg", PAIRS)
def test_a_key_of_openssl_and_a_token_of_pyjwt_are_read(alg: str, tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "p.pem"
    private.write_text(openssl("genpkey", "-algorithm", *PAIRS[alg]))
    public.write_text(openssl("pkey", "-in", str(private), "-pubout"))
    now = datetime.now(UTC)
    claims = {"iss": "me", "aud": "x", "sub": "alice", "iat": now, "exp": now + timedelta(minutes=5)}
    token = pyjwt.encode(claims, private.read_text(), "EdDSA" if alg in EDWARDS else alg)
    done = run("verify", token, "--key", str(public), "--alg", alg, *EXPECTED, "--field", "sub")
    assert (done.returncode, done.stdout) == (0, "alice\n"), done.stderr


@pytest.mark.parametrize("alg", PAIRS)
def test_keys_of_joserfc_and_jwcrypto_sign_with_ours(alg: str, tmp_path: Path) -> None:
    kind, how = PAIRS[alg][0], PAIRS[alg][-1].partition(":")[2]
    curve = alg if alg in EDWARDS else how
    size: Any = 2048 if kind == "RSA" else curve
    name: Any = "OKP" if alg in EDWARDS else kind
    theirs = joserfc.jwk.generate_key(name, size)
    more = {"size": 2048} if kind == "RSA" else {"crv": curve}
    others = jwcrypto.jwk.JWK.generate(kty=name, **more)
    for number, text in enumerate((json.dumps(theirs.as_dict(private=True)), others.export_private())):
        file = tmp_path / f"{number}.jwk"
        file.write_text(text)
        done = run("sign", "--key", str(file), "--alg", alg, "--sub", "alice", *EXPECTED)
        assert done.returncode == 0, done.stderr
        key = joserfc.jwk.import_key(json.loads(text))
        assert joserfc.jwt.decode(done.stdout.strip(), key, algorithms=[alg]).claims["sub"] == "alice"


@pytest.mark.parametrize("alg", PAIRS)
def test_an_encrypted_pem_goes_both_ways(alg: str, tmp_path: Path, password_file: str) -> None:
    ours, theirs = str(tmp_path / "ours.pem"), str(tmp_path / "theirs.pem")
    made = run("key", "generate", ours, "--alg", alg, "--password-file", password_file)
    assert "ENCRYPTED" in Path(ours).read_text()
    thumbprint = run("key", "thumbprint", ours, "--alg", alg, "--password-file", password_file).stdout
    public = openssl("pkey", "-in", ours, "-passin", f"pass:{PASSWORD}", "-pubout")
    assert run("key", "thumbprint", "-", "--alg", alg, given=public).stdout == thumbprint
    Path(theirs).write_text(openssl("genpkey", "-algorithm", *PAIRS[alg], *CIPHER))
    signed = run("sign", "--key", theirs, "--alg", alg, "--password-file", password_file, *EXPECTED)
    assert signed.returncode == 0, signed.stderr
    public = openssl("pkey", "-in", theirs, "-passin", f"pass:{PASSWORD}", "-pubout")
    (tmp_path / "p.pem").write_text(public)
    done = run("verify", signed.stdout.strip(), "--key", str(tmp_path / "p.pem"), "--alg", alg, *EXPECTED, "-q")
    assert (done.returncode, made.returncode) == (0, 0), done.stderr


ENCRYPTION = [
    ("ECDH-ES+A256KW", "A256GCM", ("--curve", "P-256")),
    ("ECDH-ES+A128KW", "A128CBC-HS256", ("--curve", "P-521")),
    ("ECDH-ES", "A256GCM", ("--curve", "X25519")),
    ("RSA-OAEP-256", "A256CBC-HS512", ()),
    ("A256KW", "A192GCM", ()),
    ("A128GCMKW", "A128GCM", ()),
]


@pytest.mark.parametrize(("alg", "enc", "more"), ENCRYPTION, ids=[f"{alg} {enc}" for alg, enc, _ in ENCRYPTION])
@pytest.mark.parametrize("peer", ["joserfc", "jwcrypto"])
def test_an_encrypted_token_goes_both_ways(
    peer: str, alg: str, enc: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    file, text = tmp_path / "k.jwk", b'{"sub":"alice"}'
    assert run("key", "generate", str(file), "--alg", alg, *more).returncode == 0
    members = {name: value for name, value in json.loads(file.read_text()).items() if name not in ("key_ops", "alg")}
    header = {"alg": alg, "enc": enc, "kid": members["kid"]}
    ours = run("encrypt", "--raw", "-", "--key", str(file), "--enc", enc, given=text).stdout.strip()
    if peer == "joserfc":
        key = joserfc.jwk.import_key(members)
        assert joserfc.jwe.decrypt_compact(ours, key, algorithms=[alg, enc]).plaintext == text
        theirs = joserfc.jwe.encrypt_compact(header, text, key, algorithms=[alg, enc])
    else:
        other = jwcrypto.jwk.JWK(**members)
        opened = jwcrypto.jwe.JWE(algs=[alg, enc])
        opened.deserialize(ours, key=other)
        assert opened.payload == text
        sealed = jwcrypto.jwe.JWE(text, protected=json.dumps(header), algs=[alg, enc])
        sealed.add_recipient(other)
        theirs = sealed.serialize(compact=True)
    done = run("decrypt", theirs, "--key", str(file))
    assert (done.returncode, done.stdout) == (0, text.decode()), done.stderr


@pytest.mark.parametrize("peer", ["joserfc", "jwcrypto"])
def test_a_token_under_a_password_goes_both_ways(
    peer: str, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alg, text = "PBES2-HS512+A256KW", b'{"sub":"alice"}'
    named = ("--secret-file", password_file, "--alg", alg)
    ours = run("encrypt", "--raw", "-", *named, given=text).stdout.strip()
    header = {"alg": alg, "enc": "A256GCM", "p2c": 100_000}
    if peer == "joserfc":  # it opens fewer rounds only than the OWASP asks for, and cannot be told otherwise
        key = joserfc.jwk.OctKey.import_key(PASSWORD)
        theirs = joserfc.jwe.encrypt_compact(header, text, key, algorithms=[alg, "A256GCM"])
    else:
        monkeypatch.setattr(jwcrypto.jwa, "default_max_pbkdf2_iterations", 1_000_000)
        other = jwcrypto.jwk.JWK.from_password(PASSWORD)
        opened = jwcrypto.jwe.JWE(algs=[alg, "A256GCM"])
        opened.deserialize(ours, key=other)
        assert opened.payload == text
        sealed = jwcrypto.jwe.JWE(text, protected=json.dumps({"alg": alg, "enc": "A256GCM"}), algs=[alg, "A256GCM"])
        sealed.add_recipient(other)
        theirs = sealed.serialize(compact=True)
    done = run("decrypt", theirs, *named)
    assert (done.returncode, done.stdout) == (0, text.decode()), done.stderr


@pytest.mark.parametrize("peer", ["joserfc", "jwcrypto"])
def test_a_signed_token_inside_an_encrypted_one_is_read(peer: str, tmp_path: Path) -> None:
    signing, sealing = str(tmp_path / "s.jwk"), tmp_path / "e.jwk"
    run("key", "generate", signing)
    run("key", "generate", str(sealing), "--alg", "RSA-OAEP-256")
    token = run("sign", "--key", signing, *EXPECTED).stdout.strip()
    sealed = run("encrypt", token, "--key", str(sealing)).stdout.strip()
    members = {name: value for name, value in json.loads(sealing.read_text()).items() if name not in ("key_ops", "alg")}
    if peer == "joserfc":
        opened = joserfc.jwe.decrypt_compact(
            sealed, joserfc.jwk.import_key(members), algorithms=["RSA-OAEP-256", "A256GCM"]
        ).plaintext
    else:
        jwe = jwcrypto.jwe.JWE(algs=["RSA-OAEP-256", "A256GCM"])
        jwe.deserialize(sealed, key=jwcrypto.jwk.JWK(**members))
        opened = jwe.payload
    assert opened == token.encode()
