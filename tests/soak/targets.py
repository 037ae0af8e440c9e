"""What is fuzzed: any bytes give a value or an AdmitError, and what is read twice is read alike.

`python -m tests.soak.fuzz NAME` lets atheris loose on one of `TARGETS`; test_fuzz.py runs their short form.
"""

from __future__ import annotations

import base64
import json
import json.decoder
import json.scanner
import math
import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

from admit import AdmitError, Key, KeySet, Verifier, peek
from admit.jose import header, jwe, jwe_json, jws, jws_json
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.encoding import b64url_decode, b64url_encode, json_object
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, claims, forge, key

LETTERS: Final = re.compile(rb"[A-Za-z0-9_-]*")
UNDERSTOOD: Final = frozenset(("b64", "exp"))
COMPRESSED: Final = b64url_encode(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}')
SIGNING: Final = ("RS256", "ES256", "Ed25519")
WORDS: Final = (
    *(
        "alg",
        "enc",
        "kid",
        "typ",
        "cty",
        "crit",
        "b64",
        "zip",
        "epk",
        "apu",
        "apv",
        "iv",
        "tag",
        "p2s",
        "p2c",
        "jwk",
        "x5c",
    ),
    *("payload", "protected", "header", "signature", "signatures", "unprotected", "recipients", "encrypted_key", "aad"),
    *(
        "kty",
        "crv",
        "x",
        "y",
        "d",
        "n",
        "e",
        "p",
        "q",
        "dp",
        "dq",
        "qi",
        "oth",
        "k",
        "pub",
        "priv",
        "use",
        "key_ops",
        "keys",
    ),
    *(
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "scope",
        "client_id",
        "ciphertext",
        "dir",
        "DEF",
        "none",
        "EdDSA",
    ),
    *(
        "HS256",
        "RS256",
        "ES256",
        "ES256K",
        "Ed25519",
        "Ed448",
        "ML-DSA-44",
        "A128KW",
        "A128GCMKW",
        "ECDH-ES",
        "A256GCM",
    ),
    *("oct", "RSA", "EC", "OKP", "AKP", "P-256", "P-521", "secp256k1", "X25519", "X448", "sig", "verify", "deriveKey"),
)
"""What a mutation may put in: names that the parsers know."""


@cache
def sealed() -> list[KeySet]:
    """Keys for decryption; PBES2 is left out, which takes a tenth of a second by design."""
    secrets = ("A256GCM", "A128CBC-HS256", "A128KW", "A128GCMKW")
    return [KeySet([Key.generate(alg, kid=alg) for alg in secrets]), KeySet([Key.generate("ECDH-ES", kid="ECDH-ES")])]


@cache
def verifier(alg: str) -> Verifier[Any]:
    """One that accepts `forge`'s tokens."""
    return Verifier(KeySet([key(alg)]), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, cache=0)


def survives(call: Callable[[], object]) -> object:
    """What it gives, or None for an AdmitError with something, and not too much, to say."""
    try:
        return call()
    except AdmitError as error:
        refusal = error
    assert 0 < len(str(refusal)) < 2000
    assert refusal.code
    return None


def b64(data: bytes) -> None:
    """Against the standard library: exactly the canonical spellings are read."""
    expected = None
    if LETTERS.fullmatch(data) and len(data) % 4 != 1:
        plain = base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
        expected = plain if b64url_encode(plain) == data else None
    assert survives(lambda: b64url_decode(data)) == expected


def json_text(data: bytes) -> None:
    """Against the standard library: what is read says the same there, and what it finds wrong is not read."""
    read = survives(lambda: json_object(data))
    try:
        known = reference().decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        assert read is None
        return
    if read is not None:
        assert _alike(read, known)
    elif type(known) is dict and _depth(known) < 32:  # refused: for its size, or a number that is none
        assert any(b >= 0x80 for b in data) or _odd(known) or b"\\u" in data, data


@cache
def reference() -> json.JSONDecoder:
    """The standard library's reader, in Python: unlike C, it shows a fuzzer which inputs are new."""
    reader: Any = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_none)
    reader.parse_string = json.decoder.py_scanstring  # type: ignore[attr-defined]
    reader.scan_once = json.scanner.py_make_scanner(reader)  # type: ignore[attr-defined]
    return cast(json.JSONDecoder, reader)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _none(text: str) -> object:
    raise ValueError


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other) or (isinstance(one, int | float) and math.isclose(one, other))


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _odd(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_odd, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and not isinstance(value, bool) and not -(2**64) < value < 2**64


def head(data: bytes) -> None:
    """A protected header, and the same as members that nothing protects."""
    read = survives(lambda: header.parse(b64url_encode(data), understood=UNDERSTOOD))
    members = survives(lambda: json_object(data))
    assert read is None or members is not None
    if isinstance(members, dict):
        survives(lambda: header.join(None, members))


def compact(data: bytes) -> None:
    """A token as it arrives."""
    assert survives(lambda: verifier("HS256").verify(data)) is None or data == forge().encode()
    survives(lambda: jws.verify(data, key("ES256")))
    survives(lambda: peek(data))


def payload(data: bytes) -> None:
    """Claims that are signed, whatever they are."""
    survives(lambda: verifier("HS256").verify(forge(data)))


def document(data: bytes) -> None:
    """JWS in JSON."""
    survives(lambda: jws_json.verify(data, key("HS256")))


def encrypted(data: bytes) -> None:
    """Compact JWE; and the bytes as the header of one."""
    headed = b64url_encode(data) + b"..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA"
    for keys in sealed():
        survives(lambda keys=keys: jwe.decrypt(data, keys, inflate=True))  # type: ignore[misc]
        survives(lambda keys=keys: jwe.decrypt(headed, keys))  # type: ignore[misc]


def compressed(data: bytes) -> None:
    """What was encrypted is called DEFLATE: against zlib, which is told the same limit."""
    dir_key = next(iter(sealed()[0]))
    row, cek = dir_key.opening()
    iv = bytes(12)
    ciphertext, tag = CONTENT_ENCRYPTION[row.name].seal(CONTENT_ENCRYPTION[row.name], cek, iv, data, COMPRESSED)
    token = b".".join((COMPRESSED, b"", *map(b64url_encode, (iv, ciphertext, tag))))
    read = survives(lambda: jwe.decrypt(token, dir_key, inflate=True))
    unpacker: Any = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(data, jwe.MAX_INFLATED + 1)
    except zlib.error:
        plain = None
    whole = plain is not None and unpacker.eof and not unpacker.unused_data and len(plain) <= jwe.MAX_INFLATED
    assert (read.plaintext if isinstance(read, jwe.Jwe) else None) == (plain if whole else None)


def encrypted_document(data: bytes) -> None:
    """JWE in JSON."""
    for keys in sealed():
        survives(lambda keys=keys: jwe_json.decrypt(data, keys, inflate=True))  # type: ignore[misc]


def jwk(data: bytes) -> None:
    """A key, and a set of keys."""
    survives(lambda: Key.from_jwk(data))
    if b"keys" in data:  # else it is none, and reading it again costs a third of the inputs a second
        survives(lambda: KeySet.from_jwks(data))


def key_file(data: bytes) -> None:
    """PEM, DER and secrets."""
    alg = SIGNING[len(data) % len(SIGNING)]
    survives(lambda: Key.from_pem(data, alg))
    survives(lambda: Key.from_der(data, alg))
    survives(lambda: Key.from_secret(data, "HS256"))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "b64": b64,
    "json": json_text,
    "header": head,
    "jws": compact,
    "payload": payload,
    "jws-json": document,
    "jwe": encrypted,
    "deflate": compressed,
    "jwe-json": encrypted_document,
    "jwk": jwk,
    "key-file": key_file,
}


@cache
def seeds() -> dict[str, list[bytes]]:
    """Honest input for each target."""
    objects = [json.dumps(each).encode() for each in (claims(), {"a": [1, {"b": None}], "é": 1.5e3}, {})]
    heads = [b'{"alg":"HS256","typ":"at+jwt","kid":"k"}', b'{"alg":"ES256","b64":false,"crit":["b64"]}']
    sealing = [each for keys in sealed() for each in keys]
    tokens = [jwe.encrypt(each, b"secret").encode() for each in sealing]
    signing = [key(alg) for alg in ("HS256", "RS256", "ES256", "Ed25519", "ML-DSA-44")]
    # A private RSA key takes a tenth of a second to check, in OpenSSL: its mutations would be most of the time.
    halves = [(each, private) for each in signing for private in (True, False)
              if (private or not each.algorithm.symmetric) and (each.alg, private) != ("RS256", True)]  # fmt: skip
    jwks = [json.dumps(each.to_jwk(private=private)).encode() for each, private in halves]
    files = [form(private=private) for each, private in halves if not each.algorithm.symmetric
             for form in (each.to_pem, each.to_der)]  # fmt: skip
    signed = [jws_json.sign_flattened(key("HS256"), b"x"), jws_json.sign_general([key("HS256")], b"x")]
    closed = [
        jwe_json.encrypt_flattened(sealing[2], b"x"),
        jwe_json.encrypt_general(sealing[2:4], b"x", aad=b"y"),
    ]
    return {
        "b64": [b64url_encode(bytes(range(n))) for n in (0, 1, 2, 3, 60)],
        "json": objects + heads,
        "header": heads,
        "jws": [forge().encode(), jws.sign(key("ES256"), b"{}").encode()],
        "payload": objects,
        "jws-json": [each.encode() for each in signed],
        "jwe": [*tokens, *(b64url_decode(token.partition(b".")[0]) for token in tokens)],
        "deflate": [zlib.compress(each, wbits=-15) for each in (b"", b"secret" * 99, bytes(jwe.MAX_INFLATED))],
        "jwe-json": [each.encode() for each in closed],
        "jwk": [*jwks, b'{"keys":[' + b",".join(jwks[2:6]) + b"]}"],
        "key-file": files,
    }
