"""Keys that are malformed, weak, or documents in disguise are refused when they are made."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Container, Iterable
from datetime import datetime
from functools import cache, partial
from itertools import count, product
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm as NotBuiltIn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key
from admit.errors import ConfigurationError, InvalidKey, UnsupportedAlgorithm
from admit.jose import jwk, pem, strength
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import b64url_decode
from admit.jose.pem import MAX_PEM, MAX_WORK
from tests.helpers.edwards import D448, D25519, P448, P25519, root, small_448, small_25519, spellings
from tests.helpers.forge import b64, key


def test_the_constants_are_every_point_of_small_order() -> None:
    assert {y for _, y in small_25519()} == strength._SMALL_ORDER_25519
    assert {y for _, y in small_448()} == strength._SMALL_ORDER_448
    assert (len(small_25519()), len(small_448())) == (8, 4)


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448"])
def test_a_public_key_of_small_order_is_refused_in_every_spelling(alg: str) -> None:
    if alg == "Ed25519":
        encoded = spellings(small_25519(), P25519, 255, 32)
        assert len(encoded) >= 12
        load: Any = ed25519.Ed25519PublicKey
    else:
        encoded, load = spellings(small_448(), P448, 448, 57), ed448.Ed448PublicKey
    for data in encoded:
        with pytest.raises(InvalidKey):
            Key.from_jwk({"kty": "OKP", "crv": alg, "x": b64(data)})
        der = load.from_public_bytes(data).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(InvalidKey):
            Key.from_der(der, alg)


def test_without_the_refusal_a_small_order_key_lets_one_signature_pass_for_many_messages() -> None:
    """What the refusal is for: at S = 0 and R = A = the identity, R + kA = SB holds whatever was signed."""
    identity = (1).to_bytes(32, "little")
    public = ed25519.Ed25519PublicKey.from_public_bytes(identity)
    for number in range(20):
        public.verify(identity + bytes(32), number.to_bytes(2))


@pytest.mark.parametrize(
    ("alg", "data"),
    [
        ("Ed25519", P25519.to_bytes(32, "little")),
        ("Ed25519", (P25519 + 3).to_bytes(32, "little")),
        ("Ed448", P448.to_bytes(57, "little")),
        ("Ed25519", b"\xff" * 32),
        ("Ed448", (P448 + 2).to_bytes(57, "little")),
        ("Ed448", (5 + (1 << 449)).to_bytes(57, "little")),
        ("Ed448", b"\xff" * 57),
    ],
)
def test_an_edwards_key_that_is_not_canonical_is_refused(alg: str, data: bytes) -> None:
    with pytest.raises(InvalidKey):
        Key.from_jwk({"kty": "OKP", "crv": alg, "x": b64(data)})


@pytest.mark.parametrize(
    ("alg", "kind", "a", "d", "p", "size"),
    [
        ("Ed25519", ed25519.Ed25519PublicKey, -1, D25519, P25519, 32),
        ("Ed448", ed448.Ed448PublicKey, 1, D448, P448, 57),
    ],
)
def test_an_edwards_key_is_a_point_of_its_curve_in_every_form(
    alg: str, kind: Any, a: int, d: int, p: int, size: int
) -> None:
    on = {y for y in range(2, 40) if root((1 - y * y) * pow(a - d * y * y, -1, p), p) is not None}
    assert 0 < len(on) < 38
    for y in range(2, 40):
        data = (y | (y & 1) << size * 8 - 1).to_bytes(size, "little")
        public = kind.from_public_bytes(data)
        der, text = (
            public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for form in (Encoding.DER, Encoding.PEM)
        )
        members = {"kty": "OKP", "crv": alg, "x": b64(data)}
        calls = (partial(Key.from_jwk, members), partial(Key.from_der, der, alg), partial(Key.from_pem, text, alg))
        for call in calls:
            if y in on:
                assert call().to_jwk()["x"] == b64(data)
            else:
                with pytest.raises(InvalidKey, match="not a point of its curve"):
                    call()


@pytest.mark.parametrize(
    ("alg", "kind", "size"),
    [("Ed25519", ed25519.Ed25519PrivateKey, 32), ("Ed448", ed448.Ed448PrivateKey, 57)],
)
def test_an_edwards_key_passes_whichever_sign_its_x_has(alg: str, kind: Any, size: int) -> None:
    signs = set()
    for number in range(8):
        data = kind.from_private_bytes(bytes([number]) * size).public_key().public_bytes_raw()
        assert Key.from_jwk({"kty": "OKP", "crv": alg, "x": b64(data)}).alg == alg
        signs.add(data[-1] >> 7)
    assert signs == {0, 1}


@pytest.mark.parametrize("size", [0, 1, 31, 33, 56, 58, 64])
def test_an_edwards_key_of_another_size_is_refused(size: int) -> None:
    for alg in ("Ed25519", "Ed448"):
        with pytest.raises(InvalidKey):
            Key.from_jwk({"kty": "OKP", "crv": alg, "x": b64(b"\x05" * size)})


# --- NIST curves


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_a_point_off_the_curve_is_refused(alg: str) -> None:
    good = key(alg).public().to_jwk()
    width = len(base64.urlsafe_b64decode(good["x"] + "==="))
    x, y = (int.from_bytes(base64.urlsafe_b64decode(good[name] + "===")) for name in ("x", "y"))
    wrong = [(x, y ^ 1), (y, x), (0, 0), (x, 0), (0, y), (1, 1), ((1 << width * 8) - 1, y), (x, (1 << width * 8) - 1)]
    for bad_x, bad_y in wrong:
        with pytest.raises(InvalidKey):
            Key.from_jwk(good | {"x": b64(bad_x.to_bytes(width)), "y": b64(bad_y.to_bytes(width))})
    for name in ("x", "y"):
        raw = base64.urlsafe_b64decode(good[name] + "===")
        for data in (raw[1:], b"\0" + raw, raw + b"\0", b""):
            with pytest.raises(InvalidKey):
                Key.from_jwk(good | {name: b64(data)})


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_the_private_number_is_in_range_and_belongs_to_the_point(alg: str) -> None:
    good = key(alg).to_jwk(private=True)
    width = len(base64.urlsafe_b64decode(good["d"] + "==="))
    order = key(alg)._material[1].curve.group_order
    other = base64.urlsafe_b64decode(key(alg, 1).to_jwk(private=True)["d"] + "===")
    own = int.from_bytes(base64.urlsafe_b64decode(good["d"] + "==="))
    numbers = [0, order, order + own, (1 << width * 8) - 1]
    for data in (*(n.to_bytes(width) for n in numbers if n < 1 << width * 8), other, b"", b"\1", b"\0" * (width + 1)):
        with pytest.raises(InvalidKey):
            Key.from_jwk(good | {"d": b64(data)})


def test_each_curve_has_its_one_algorithm() -> None:
    for alg in ("ES256", "ES384", "ES512", "ES256K"):
        for other in [*ALGORITHMS, "EdDSA"]:
            if other != alg:
                with pytest.raises(ConfigurationError):
                    Key.from_jwk(key(alg).public().to_jwk() | {"alg": other})
                with pytest.raises(ConfigurationError):
                    Key.from_pem(key(alg).to_pem(), other)
    for odd in (ec.SECP224R1(), ec.BrainpoolP256R1(), ec.SECP192R1()):
        pem = ec.generate_private_key(odd).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(InvalidKey):
            Key.from_pem(pem, "ES256")


# --- RSA


def uint(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def rsa_jwk(n: int, e: int = 65537, alg: str = "RS256") -> dict[str, str]:
    return {"kty": "RSA", "alg": alg, "n": uint(n), "e": uint(e)}


@cache
def modulus() -> int:
    return int(key("RS256")._material[1].public_numbers().n)


@pytest.mark.parametrize("alg", ["RS256", "PS512"])
@pytest.mark.parametrize("bits", [512, 1024, 1536, 2040, 2047])
def test_a_short_modulus_is_refused(bits: int, alg: str) -> None:
    with pytest.raises(InvalidKey):
        Key.from_jwk(rsa_jwk((1 << bits - 1) + 0x1234567 | 1, alg=alg))
    if bits in (1024, 2047):
        weak = rsa.generate_private_key(65537, bits)
        pem = weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(InvalidKey):
            Key.from_pem(pem, alg)
        with pytest.raises(InvalidKey):
            Key.generate(alg, bits=bits)


@pytest.mark.parametrize("bits", [0, 2047, 8193, 2048.0, "2048", None, True, [2048]])
def test_a_modulus_is_not_made_of_another_size(bits: Any) -> None:
    with pytest.raises(InvalidKey, match="2048 to 8192 bits, not"):
        Key.generate("RS256", bits=bits)


@pytest.mark.parametrize("e", [1, 2, 3, 5, 17, 257, 65535, 65536, 65538, 2**32, 2**64 + 1, 2**2048 + 1])
def test_an_exponent_that_is_small_even_or_huge_is_refused(e: int) -> None:
    with pytest.raises(InvalidKey):
        Key.from_jwk(rsa_jwk(modulus(), e))


def test_an_exponent_of_more_than_64_bits_is_refused_in_a_pem_too() -> None:
    n = key("RS256")._material[1].public_numbers().n
    for e, good in ((2**64 - 1, True), (2**64 + 1, False), (2**2000 + 1, False), (65535, False), (65539, True)):
        public = rsa.RSAPublicNumbers(e, n).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for alg in ("RS256", "RSA-OAEP"):
            if good:
                assert Key.from_pem(pem, alg)
            else:
                with pytest.raises(InvalidKey, match="exponent"):
                    Key.from_pem(pem, alg)


@pytest.mark.parametrize("oid", [110, 111, 112, 113])  # X25519, X448, Ed25519, Ed448 (RFC 8410 3)
@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 55, 56, 57, 58])
def test_a_raw_key_of_the_wrong_size_is_an_invalid_key_in_every_form(oid: int, size: int) -> None:
    """The library has an InternalError for some of them, which is no ValueError."""
    fits = size == {110: 32, 111: 56, 112: 32, 113: 57}[oid]
    raw = bytes(range(1, size + 1))
    inner = b"\x04" + bytes((size,)) + raw
    rest = b"\x02\x01\x00\x30\x05\x06\x03\x2b\x65" + bytes((oid,)) + b"\x04" + bytes((len(inner),)) + inner
    der = b"\x30" + bytes((len(rest),)) + rest
    pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + b"\n-----END PRIVATE KEY-----\n"
    crv = {110: "X25519", 111: "X448", 112: "Ed25519", 113: "Ed448"}[oid]
    alg = crv if crv.startswith("Ed") else "ECDH-ES"
    if fits:
        assert Key.from_der(der, alg) == Key.from_pem(pem, alg)
        return
    members = {"kty": "OKP", "crv": crv, "x": b64(raw or b"x"), "alg": alg}
    calls: list[Callable[[], Key]] = [
        lambda: Key.from_der(der, alg),
        lambda: Key.from_pem(pem, alg),
        lambda: Key.from_jwk(members),
        lambda: Key.from_jwk(members | {"d": b64(raw or b"x")}),
    ]
    for call in calls:
        with pytest.raises(InvalidKey):
            call()


def test_a_jwk_of_an_unknown_curve_or_parameter_set_is_an_invalid_key_wherever_it_is_read() -> None:
    odd: list[object] = [None, 5, [], {}, "", "P-256", "ed25519"]
    for value in odd:
        with pytest.raises(InvalidKey, match="kty is"):
            jwk.read({"kty": value})
        with pytest.raises(InvalidKey, match="crv is" if value != "P-256" else "x has 1 bytes"):
            jwk.read({"kty": "EC", "crv": value, "x": "AA", "y": "AA"})
    for value in odd:
        forms: list[dict[str, Any]] = [
            {"kty": "OKP", "crv": value, "x": "AA"},
            {"kty": "AKP", "alg": value, "pub": "AA"},
        ]
        for members in (*forms, {"kty": "EC", "crv": value and 5, "x": "AA", "y": "AA"}):
            with pytest.raises(InvalidKey):
                jwk.read(members)


def test_what_the_library_was_built_without_is_an_invalid_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> object:
        raise NotBuiltIn("no such thing in this build")

    monkeypatch.setitem(jwk._READERS, "oct", missing)
    with pytest.raises(InvalidKey, match="built without"):
        Key.from_jwk(key("HS256").to_jwk(private=True))
    monkeypatch.setattr("cryptography.hazmat.primitives.serialization.load_pem_public_key", missing)
    with pytest.raises(InvalidKey, match="cannot be read"):
        Key.from_pem(key("ES256").to_pem(), "ES256")


def test_a_modulus_that_is_even_or_has_small_factors_is_refused() -> None:
    for n in (modulus() & ~1, modulus() // 3 * 3 | 1 << 2047, modulus() // 167 * 167, modulus() // 2 * 2):
        n = n if math.gcd(n, 2 * 3 * 167) > 1 else n - n % 3
        with pytest.raises(InvalidKey):
            Key.from_jwk(rsa_jwk(n))


def test_a_modulus_of_the_broken_generator_is_refused() -> None:
    # CVE-2017-15361: n is a power of 65537 modulo the product of the first primes
    product = math.prod(strength._SMALL_PRIMES[1:])
    n = pow(65537, 12345, product)
    n += product * (((1 << 2047) - n) // product + 98765)
    n += product * (n % 2 == 0)
    with pytest.raises(InvalidKey, match="ROCA"):
        Key.from_jwk(rsa_jwk(n))


def test_a_modulus_whose_primes_are_close_is_refused() -> None:
    p = key("RS256")._material[0].private_numbers().p
    near = next(q for q in count(p + 2, 2) if all(q % small for small in strength._SMALL_PRIMES))  # as good as a prime
    for n, alg in product((p * p, p * near), ("RS256", "PS512", "RSA-OAEP-256")):
        public = rsa.RSAPublicNumbers(65537, n).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for call in (partial(Key.from_jwk, rsa_jwk(n, alg=alg)), partial(Key.from_pem, pem, alg)):
            with pytest.raises(InvalidKey, match="so close"):
                call()


def test_factors_are_found_within_a_hundred_steps_and_no_further() -> None:
    p = key("RS256")._material[0].private_numbers().p
    for steps in (0, 1, 50, 99, 100, 1000):
        b = math.isqrt(2 * p * steps)  # of a^2 - b^2, a is that many over the root, or one less
        n = (p + b) * (p - b)
        needed = p - math.isqrt(n - 1)
        assert abs(needed - steps) <= 1
        assert strength._factors_are_close(n) == (needed <= 100), steps


def test_looking_for_close_factors_costs_little() -> None:
    for bits, most in ((2048, 1e-3), (4096, 3e-3)):
        n = (1 << bits - 1) + 12345678901234567891
        times = []
        for _ in range(5):
            began = time.thread_time()
            assert not strength._factors_are_close(n)
            times.append(time.thread_time() - began)
        assert min(times) < most


def test_keys_of_other_generators_are_not_taken_for_the_broken_ones() -> None:
    for number in range(3):
        assert Key.from_jwk(key("RS256", number).public().to_jwk())


def test_a_huge_key_costs_nothing() -> None:
    began = time.thread_time()
    good = key("RS256").to_jwk(private=True)
    huge = b64(b"\x01" * 1_000_000)
    for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi"):
        with pytest.raises(InvalidKey):
            Key.from_jwk(good | {name: huge})
    bare = {name: value for name, value in good.items() if name not in ("p", "q", "dp", "dq", "qi")}
    with pytest.raises(InvalidKey):
        Key.from_jwk(bare | {"d": huge})
    assert time.thread_time() - began < 2


def test_the_private_numbers_of_an_rsa_key_belong_together() -> None:
    good, other = key("RS256").to_jwk(private=True), key("PS256").to_jwk(private=True)
    for name in ("n", "d", "p", "q", "dp", "dq", "qi"):
        with pytest.raises(InvalidKey):
            Key.from_jwk(good | {name: other[name]})
    for name in ("p", "q", "dp", "dq", "qi"):
        with pytest.raises(InvalidKey):
            Key.from_jwk({k: v for k, v in good.items() if k != name})
    with pytest.raises(InvalidKey):
        Key.from_jwk({k: v for k, v in good.items() if k != "d"})
    with pytest.raises(InvalidKey):
        Key.from_jwk(good | {"oth": []})
    bare = {k: v for k, v in good.items() if k not in ("p", "q", "dp", "dq", "qi")}
    assert Key.from_jwk(bare).to_jwk(private=True)["d"] == good["d"]


# --- RSASSA-PSS keys (RFC 4055), which the library reads as any other RSA key

# openssl genpkey -algorithm RSA-PSS, with SHA-384 for rsa_pss_keygen_md and rsa_pss_keygen_mgf1_md; it signed itself.
PSS_CERTIFICATE = base64.b64decode(
    "MIIDPTCCAfECFBzG4t3uHPlgz8LdYD4PEFKjNUiZMEEGCSqGSIb3DQEBCjA0oA8wDQYJYIZIAWUDBAICBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZI"
    "AWUDBAICBQCiAwIBMDAMMQowCAYDVQQDDAF4MCAXDTI2MTEyNjE4MjQwNFoYDzIxMjYxMTAyMTgyNDA0WjAMMQowCAYDVQQDDAF4MIIBVjBBBgkq"
    "hkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCATADggEPADCCAQoCggEBAKPpGfTedhbk"
    "anmxxsZ6hHGZ+yhD2wZd42Oh++5BuQHfGQRKusudI/r90UhKqssdecPBqhfO+5gao9iQNJhJnBnVNuobWO1oaT6e+LRsh1Vl0ZrObGA3bqp9uwov"
    "Oc7q0Jofi5RkGIpICCO+Y1NndDXx45O8M6R92p4dqB0QsG2exDhwcLhXV4aM7qGLDFx+Ji1YI60snCJEnZP3NYzq7IEDr1fr5Nz93i6XO0+DsjIZ"
    "sF4h0peew4Uwhp3l8cVsSC9d94HsF/6trbiQZ+Gn9bzcWCxd+TcSpy8qlkMtm5bG7BH0ZveveObuuVKU5mt86oiJ1Ur6BlkZvv8nApbN5UcCAwEA"
    "ATBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCATADggEBAEhYtZsTYhMz0xbu"
    "I8i29XcJzoRFUqfzS4YPzLqVYJvnXBia7KhvhQvC3cLWAEtoBiMwHjB27mqvLSfI0fGGHVL+CMWneFES0TC/rWq4kLZDEe/G3cq8yY853QnmyKiv"
    "524bYU4LXm4Wy9poZl10gQRT+kEnY8fJeQVaeEjM1QcPZEPgtOdOjxrV8jgbAf68lRVeeFsD/0uJNFH7w7AcmtfyoeX/frFWgELwi8N4E6AHEPOd"
    "gmU2gCHQS8gfshCGDhoZ030gw/a/Cja00s1JWxBEIgiEXxZZ2S+y4gOYZIN3n/O728WgbbmBxsl+KgW5HIBppWgXZMhamtUtrVDSQ9g="
)
PKCS1_ARC = bytes.fromhex("06092a864886f70d0101")
RSA_ALGS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA-OAEP", "RSA-OAEP-512")


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = (len(body).bit_length() + 7) // 8
    length = len(body).to_bytes(1) if len(body) < 128 else bytes((0x80 | size,)) + len(body).to_bytes(size)
    return bytes((tag,)) + length + body


def pss(*parameters: bytes) -> bytes:
    """The AlgorithmIdentifier of a PSS key."""
    return tlv(0x30, PKCS1_ARC + b"\x0a", *parameters)


def pss_parameters(digest: int, mgf: int | None) -> bytes:
    """RSASSA-PSS-params with the hash of that last arc under SHA-2, and for MGF1 that one, or its default (SHA-1)."""
    first, second = (
        tlv(0x30, bytes.fromhex("06096086480165030402") + bytes((arc or 0,)), tlv(5)) for arc in (digest, mgf)
    )
    masks = () if mgf is None else (tlv(0xA1, tlv(0x30, PKCS1_ARC + b"\x08", second)),)
    return tlv(0x30, tlv(0xA0, first), *masks, tlv(0xA2, tlv(2, b"\x20")))


def relabelled(der: bytes, algorithm: bytes) -> bytes:
    """The document of an RSA key with another AlgorithmIdentifier; what encloses it gets its length."""
    plain = tlv(0x30, PKCS1_ARC + b"\x01", tlv(5))
    at, changed = der.index(plain), bytearray(der.replace(plain, algorithm))
    for start in range(at):
        length = int.from_bytes(der[start + 2 : start + 4])
        if der[start : start + 2] == b"\x30\x82" and start + 4 + length > at:
            changed[start + 2 : start + 4] = (length + len(algorithm) - len(plain)).to_bytes(2)
    return bytes(changed)


def expect(der: bytes, label: str, algs: Container[str], asked: Iterable[str] = RSA_ALGS) -> None:
    """Of the algorithms asked for, the key is for these alone, in DER and in PEM."""
    text = f"-----BEGIN {label}-----\nComment: with a header\n\n".encode() + base64.encodebytes(der)
    text += f"-----END {label}-----\n".encode()
    for alg, call in product(asked, (partial(Key.from_der, der), partial(Key.from_pem, text))):
        if alg in algs:
            assert call(alg).alg == alg
        else:
            with pytest.raises(InvalidKey, match=f"an RSASSA-PSS key for .*, not for '{alg}'"):
                call(alg)


@pytest.mark.parametrize(
    ("parameters", "algs"),
    [
        ([], {"PS256", "PS384", "PS512"}),
        ([pss_parameters(1, 1)], {"PS256"}),
        ([pss_parameters(2, 2)], {"PS384"}),
        ([pss_parameters(3, 3)], {"PS512"}),
        ([pss_parameters(4, 4)], set()),  # SHA-224
        ([pss_parameters(1, 3)], set()),
        ([pss_parameters(1, None)], set()),
        ([tlv(0x30)], set()),  # SHA-1
    ],
    ids=["any", "SHA-256", "SHA-384", "SHA-512", "SHA-224", "MGF1 with SHA-512", "MGF1 with SHA-1", "SHA-1"],
)
def test_a_pss_key_is_for_pss_alone_and_for_its_hash(parameters: list[bytes], algs: set[str]) -> None:
    expect(relabelled(key("RS256").to_der(), pss(*parameters)), "PUBLIC KEY", algs)
    expect(relabelled(certificate(alg="RS256"), pss(*parameters)), "CERTIFICATE", algs)
    private = relabelled(key("RS256").to_der(private=True), pss(*parameters))
    expect(private, "PRIVATE KEY", algs, ("RS256", "PS256"))  # two of them: to read one takes a while


def test_a_pss_key_of_openssl_is_for_its_hash() -> None:
    at = PSS_CERTIFICATE.index(bytes.fromhex("30820156"))
    expect(PSS_CERTIFICATE, "CERTIFICATE", {"PS384"})
    expect(PSS_CERTIFICATE[at : at + 4 + 0x156], "PUBLIC KEY", {"PS384"})


def test_what_a_pss_key_is_for_is_told_and_found_behind_other_blocks() -> None:
    for parameters, told in (
        ([], "for PS256, PS384, PS512,"),
        ([pss_parameters(2, 2)], "for PS384,"),
        ([tlv(0x30)], "for a hash that JOSE does not have,"),
    ):
        der = relabelled(key("RS256").to_der(private=True), pss(*parameters))
        text = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        text += b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END PRIVATE KEY-----\n"
        with pytest.raises(InvalidKey, match=told):
            Key.from_pem(text, "RS256")


def test_an_rsa_key_that_is_not_of_pss_is_for_every_algorithm() -> None:
    public = key("RS256")._material[1]
    signed_with_pss = certificate(alg="RS256", rsa_padding=padding.PSS(padding.MGF1(hashes.SHA384()), 48))
    expect(key("RS256").to_der(), "PUBLIC KEY", RSA_ALGS)
    expect(public.public_bytes(Encoding.DER, PublicFormat.PKCS1), "RSA PUBLIC KEY", RSA_ALGS)
    expect(signed_with_pss, "CERTIFICATE", RSA_ALGS)
    issuer = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(PSS_CERTIFICATE) + b"-----END CERTIFICATE-----\n"
    chain = certificate(der=False, alg="RS256") + issuer
    assert Key.from_pem(chain, "RS256").thumbprint() == key("RS256").thumbprint()


# --- encrypted PKCS#8 says itself how often its password is hashed

PBES2, PBKDF2 = (bytes.fromhex("06092a864886f70d01050" + last) for last in "dc")
PBES1, PKCS12 = bytes.fromhex("06092a864886f70d01050a"), bytes.fromhex("060a2a864886f70d010c0103")
SCRYPT = bytes.fromhex("06092b06010401da47040b")
AES_256_CBC = bytes.fromhex("060960864801650304012a")
SALT = b"\x02\x01\x01salt."


def locked(
    function: bytes, *numbers: int, key: bytes = bytes(32), salt: bytes = SALT, plain: bytes = bytes(16)
) -> bytes:
    """Encrypted PKCS#8 whose function has these numbers after its salt; under `key`, if it is of PBES2."""
    asked = [tlv(2, number.to_bytes(number.bit_length() // 8 + 1)) for number in numbers]
    method = function + tlv(0x30, tlv(4, salt), *asked)
    if function in (PBKDF2, SCRYPT):
        method = PBES2 + tlv(0x30, tlv(0x30, method), tlv(0x30, AES_256_CBC, tlv(4, bytes(16))))
    padder, cipher = PKCS7(128).padder(), Cipher(AES256(key), CBC(bytes(16))).encryptor()
    return tlv(0x30, tlv(0x30, method), tlv(4, cipher.update(padder.update(plain) + padder.finalize())))


def armored(der: bytes) -> bytes:
    return (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nA\rB: y\n\n"
        + base64.encodebytes(der)
        + b"-----END ENCRYPTED PRIVATE KEY-----\n"
    )


@pytest.mark.parametrize(
    ("function", "numbers", "short"),
    [
        (PBKDF2, (MAX_WORK,), True),
        (PBKDF2, (MAX_WORK, 32), True),
        (PBKDF2, (MAX_WORK + 1,), False),
        (PBKDF2, (10_000_000, 32), False),
        (PBKDF2, (2**31 - 1,), False),
        (PBKDF2, (2**63,), False),
        (PBES1, (MAX_WORK,), True),
        (PBES1, (MAX_WORK + 1,), False),
        (PKCS12, (MAX_WORK,), True),
        (PKCS12, (MAX_WORK + 1,), False),
        (SCRYPT, (2**17, 8, 1), True),
        (SCRYPT, (2**14, 8, 5, 32), True),
        (SCRYPT, (2**18, 8, 1), False),
        (SCRYPT, (2**14, 2**8, 1), False),
        (SCRYPT, (2**14, 8, 2**8), False),
        (SCRYPT, (2**14, 8, 2**30, 32), False),
    ],
)
def test_a_password_is_hashed_no_longer_than_the_limit(function: bytes, numbers: tuple[int, ...], short: bool) -> None:
    der = locked(function, *numbers)
    if short:
        pem._refuse_slow(der)
        return
    began = time.thread_time()
    for read, data in ((Key.from_der, der), (Key.from_pem, armored(der))):
        with pytest.raises(InvalidKey, match="openssl pkcs8 -topk8"):
            read(data, "ES256", password=b"pw")
    assert time.thread_time() - began < 0.1


def test_a_function_that_cannot_be_read_is_too_much() -> None:
    decoy = locked(PBKDF2, 1).ljust(128)
    for der in (locked(PBKDF2, MAX_WORK + 1, salt=decoy), locked(PBKDF2, 1).replace(PBKDF2, SCRYPT[:-1] + b"\x0c")):
        for read, data in ((Key.from_der, der), (Key.from_pem, armored(der))):
            with pytest.raises(InvalidKey, match="not known"):
                read(data, "ES256", password=b"pw")


def test_an_honest_encrypted_key_is_read_whatever_its_function() -> None:
    own = key("ES256")
    plain = own.to_der(private=True)
    keys: list[tuple[bytes, tuple[int, ...], bytes]] = [
        (PBKDF2, (600_000,), PBKDF2HMAC(hashes.SHA1(), 32, SALT, 600_000).derive(b"pw")),
        (PBKDF2, (1, 32), PBKDF2HMAC(hashes.SHA1(), 32, SALT, 1).derive(b"pw")),
        (SCRYPT, (1024, 8, 1), Scrypt(SALT, 32, 1024, 8, 1).derive(b"pw")),
    ]
    for function, numbers, derived in keys:
        der = locked(function, *numbers, key=derived, plain=plain)
        assert Key.from_der(der, "ES256", password=b"pw", kid=own.kid) == own
        assert Key.from_pem(armored(der), "ES256", password=b"pw", kid=own.kid) == own
    old = own._material[0].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"pw"))
    assert b"DEK-Info" in old
    assert Key.from_pem(old, "ES256", password=b"pw", kid=own.kid) == own


# --- kinds of key


def test_a_key_of_another_kind_is_refused_for_every_algorithm() -> None:
    strangers = [
        x25519.X25519PrivateKey.generate(),
        dsa.generate_private_key(1024),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        key("RS256")._material[0],
    ]
    for private in strangers:
        forms = [private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
        if not isinstance(private, rsa.RSAPrivateKey):  # whose reading takes a tenth of a second
            forms.append(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        for data in forms:
            for alg, row in ALGORITHMS.items():
                fits = isinstance(private, rsa.RSAPrivateKey) and row.kty == "RSA"
                fits |= isinstance(private, ec.EllipticCurvePrivateKey) and alg == "ES256"
                fits |= isinstance(private, ed25519.Ed25519PrivateKey) and alg == "Ed25519"
                if fits:
                    assert Key.from_der(data, alg).alg == alg
                else:
                    with pytest.raises(ConfigurationError):
                        Key.from_der(data, alg)


# --- documents


@pytest.mark.parametrize("read", [Key.from_pem, Key.from_der])
def test_a_key_document_is_bytes_within_its_limit_and_is_a_key(read: Callable[..., Key]) -> None:
    with pytest.raises(InvalidKey, match="at most 65536"):
        read(bytes(MAX_PEM + 1), "ES256")
    with pytest.raises(InvalidKey, match=r"no PEM block|not a key"):
        read(bytes(MAX_PEM), "ES256")
    documents: list[Any] = [None, 5, bytearray(key("ES256").to_pem()), memoryview(key("ES256").to_der()), [b"x"]]
    for document in documents:
        with pytest.raises(InvalidKey, match="is bytes"):
            read(document, "ES256")


def test_a_damaged_key_document_says_so_and_an_unknown_form_is_not_written() -> None:
    for kind in ("CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY", "EC PRIVATE KEY"):
        with pytest.raises(InvalidKey, match="cannot be read"):
            Key.from_pem(f"-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n", "ES256")
    odd: list[Any] = ["XML", "pem", "", None]
    for encoding in odd:
        with pytest.raises(InvalidKey, match="'PEM' or 'DER'"):
            pem.write(key("ES256")._material, private=False, encoding=encoding)


def test_the_key_of_a_certificate_is_read_in_both_forms() -> None:
    read = [Key.from_pem(certificate(der=False), "ES256"), Key.from_der(certificate(), "ES256")]
    assert [(one.private, one.thumbprint()) for one in read] == [(False, key("ES256").thumbprint())] * 2


def test_a_certificate_of_an_unknown_version_is_no_key() -> None:
    der = certificate()
    version = bytes.fromhex("a003020102")  # [0] EXPLICIT INTEGER 2: v3
    assert der.count(version) == 1
    for data in (der.replace(version, bytes.fromhex("a003020107")), der.replace(version, bytes.fromhex("a003020103"))):
        with pytest.raises(InvalidKey, match="not a key or certificate"):
            Key.from_der(data, "ES256")
        text = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(data) + b"-----END CERTIFICATE-----\n"
        with pytest.raises(InvalidKey, match="cannot be read"):
            Key.from_pem(text, "ES256")


# --- secrets: authlib CVE-2024-33663, PyJWT CVE-2022-29217, CVE-2026-48526, fast-jwt CVE-2026-44351 (empty)


@pytest.mark.parametrize(("alg", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(alg: str, size: int) -> None:
    assert Key.from_secret(bytes(range(size)), alg)
    for short in (0, 1, size - 1):
        with pytest.raises(InvalidKey):
            Key.from_secret(bytes(range(short)), alg)
        with pytest.raises(InvalidKey):
            Key.from_jwk({"kty": "oct", "alg": alg, "k": b64(bytes(range(short)))})


def certificate(der: bool = True, alg: str = "ES256", **signing: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    private = key(alg)._material[0]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2040, 1, 1))
        .sign(private, hashes.SHA256(), **signing)
    )
    return built.public_bytes(Encoding.DER if der else Encoding.PEM)


def ssh_blobs() -> dict[str, bytes]:
    """What `ssh-keygen` writes behind the name of the kind."""
    made = {"rsa": key("RS256"), "ed25519": key("Ed25519"), "ecdsa": key("ES256"), "ecdsa-521": key("ES512")}
    lines = {name: one._material[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) for name, one in made.items()}
    found = {name: line.split()[1] for name, line in lines.items()}
    for name in (b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com", b"ssh-rsa-cert-v01@openssh.com"):
        found[name.decode()] = base64.b64encode(len(name).to_bytes(4) + name + bytes(40))
    return found


def ends_in_white_space() -> bytes:
    made = (ed25519.Ed25519PrivateKey.from_private_bytes(number.to_bytes(32)).public_key() for number in count())
    ders = (one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in made)
    return next(der for der in ders if der[-1:].isspace())


def disguises() -> dict[str, bytes]:
    public = {alg: key(alg).public() for alg in ("RS256", "ES256", "Ed25519", "ML-DSA-44")}
    native: Any = key("RS256")._material
    found = {f"{alg} PEM": one.to_pem() for alg, one in public.items()}
    found |= {f"{alg} DER": one.to_der() for alg, one in public.items()}
    found |= {f"{alg} JWK": json.dumps(one.to_jwk()).encode() for alg, one in public.items()}
    found |= {
        "spaced PEM": b"\n \t" + public["RS256"].to_pem() + b"\n",
        "PEM in one line": public["RS256"].to_pem().replace(b"\n", b""),
        "PEM after a comment": b"my key:\n" + public["RS256"].to_pem(),
        "PEM in UTF-16": public["RS256"].to_pem().decode().encode("utf-16"),
        "PEM after a byte order mark": b"\xef\xbb\xbf" + public["RS256"].to_pem(),
        "private PEM": key("RS256").to_pem(private=True),
        "locked PEM": key("RS256").to_pem(private=True, password=b"pw"),
        "private DER": key("ES256").to_der(private=True),
        "PKCS#1 PEM": native[1].public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "PKCS#1 DER": native[1].public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "private PKCS#1 DER": native[0].private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "SSH rsa": native[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "SSH ecdsa": key("ES256")._material[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "SSH ed25519": key("Ed25519")._material[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "SSH private": native[0].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "SSH2": b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2EAAAADAQABAAABAQC7\n---- END SSH2 PUBLIC KEY ----",
        "certificate": certificate(der=False),
        "certificate DER": certificate(),
        "bare base64 of SPKI": base64.b64encode(public["RS256"].to_der()),
        "bare base64 of a certificate": base64.b64encode(certificate()),
        "wrapped base64": base64.encodebytes(public["ES256"].to_der()),
        "JWKS": json.dumps({"keys": [public["RS256"].to_jwk()]}).encode(),
        "a list of JWKs": json.dumps([public["RS256"].to_jwk()]).encode(),
        "spaced JWK": b"\n  " + json.dumps(public["RS256"].to_jwk(), indent=2).encode(),
        "JWK after a byte order mark": b"\xef\xbb\xbf" + json.dumps(public["RS256"].to_jwk()).encode(),
        **{f"{name} SSH blob": blob for name, blob in ssh_blobs().items()},
        "SSH rsa after options": b'from="10.0.0.0/8",no-pty,command="/usr/local/bin/only this and that, and no more" '
        + native[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "DER in a line": public["RS256"].to_der() + b"\n",
        "DER in white space": b" \r\n" + public["ES256"].to_der() + b"\n\n \t",
        "DER that ends in white space, in a line": ends_in_white_space() + b"\n",
        "base64url DER": base64.urlsafe_b64encode(public["RS256"].to_der()),
        "base64url DER without padding": b64(public["ES256"].to_der()).encode(),
        "base64url certificate without padding": b64(certificate()).encode() + b"\n",
        "hex DER": public["RS256"].to_der().hex().encode(),
        "hex DER in capitals": b"\n" + public["ES256"].to_der().hex().upper().encode() + b"\n",
        "hex DER with colons": public["Ed25519"].to_der().hex(":").encode(),
        "hex DER in lines": public["ES256"].to_der().hex("\n", 30).encode(),
        "JWK with an escape": json.dumps(public["RS256"].to_jwk()).replace("kty", r"k\u0074y").encode(),
        "JWK in escapes": json.dumps(public["RS256"].to_jwk()).replace("kty", r"\u006B\u0074\u0079").encode(),
        "JWKS with an escape": json.dumps({"keys": [5] * 9}).replace("keys", r"key\u0073").encode(),
        "symmetric JWK": json.dumps(key("HS256").to_jwk(private=True)).encode(),
    }
    return found


DISGUISES = disguises()


@pytest.mark.parametrize("name", list(DISGUISES))
def test_a_key_document_is_no_secret(name: str) -> None:
    assert len(DISGUISES[name]) >= 32
    with pytest.raises(InvalidKey):
        Key.from_secret(DISGUISES[name], "HS256")
    with pytest.raises(InvalidKey):
        Key.from_jwk({"kty": "oct", "alg": "HS256", "k": b64(DISGUISES[name])})


@pytest.mark.parametrize(
    "secret",
    [
        b"0" * 32,
        bytes(64),
        b"0" + bytes(63),
        b'0\x82\x01"' + b"x" * 40,
        b"{not json, just a secret with braces}",
        b"M" * 64,
        b"MII" + b"A" * 61,
        base64.b64encode(b"0" + bytes(47)),
        b'{"a": "json document that is no key"}',
        b"\xff" * 32,
        b"30" * 32,
        b"3082" + b"0" * 61,
        b"0\x84\xff\xff\xff\xff" + bytes(32),
        b'"\\u006bty": no JWK, as it begins otherwise',
        b"AAAA" * 16,
        b"ssh keys are not in here, nor is AAAAB3",
    ],
    ids=lambda secret: repr(secret).replace("\\", "/"),
)
def test_an_honest_secret_that_looks_odd_passes(secret: bytes) -> None:
    assert Key.from_secret(secret, "HS256").algorithm.symmetric


@settings(max_examples=300)
@given(
    st.binary(min_size=32, max_size=512),
    st.sampled_from([b"", b"0", b"0\x82\1\x22", b"AAAA", b"{", b"[", b" ", b"M", b"30", b"3082"]),
)
def test_a_random_secret_passes_as_bytes_base64url_and_hex(secret: bytes, start: bytes) -> None:
    begun = start + secret
    for form in (
        begun,
        b64(begun).encode(),
        base64.b64encode(begun),
        begun.hex().encode(),
        start + b64(secret).encode(),
    ):
        assert not pem.looks_like_key_material(form)


@pytest.mark.parametrize(
    "secret", [None, "x" * 64, bytearray(64), memoryview(bytes(64)), 5, ["x"], object()], ids=lambda s: type(s).__name__
)
def test_a_secret_is_bytes(secret: Any) -> None:
    with pytest.raises(InvalidKey, match="a secret is bytes"):
        Key.from_secret(secret, "HS256")


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if not alg.startswith("HS")])
def test_a_secret_is_for_hmac_only(alg: str) -> None:
    with pytest.raises(InvalidKey, match="takes a key pair, not a secret"):
        Key.from_secret(bytes(64), alg)


# --- algorithms that are not there (authlib CVE-2026-28802: `none` in some casing)


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", " HS256", "RSA1_5", "HS1", "ES521", "A512KW", "EdDSA2"],
)
def test_an_algorithm_that_does_not_exist_makes_no_key(alg: str) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        Key.generate(alg)
    with pytest.raises(UnsupportedAlgorithm):
        Key.from_secret(bytes(64), alg)
    with pytest.raises(UnsupportedAlgorithm):
        Key.from_jwk(key("ES256").to_jwk() | {"alg": alg})
    with pytest.raises(UnsupportedAlgorithm):
        Key.from_pem(key("ES256").to_pem(), alg)


@pytest.mark.parametrize("alg", [None, 5, b"HS256", ["HS256"], {}, object()], ids=lambda a: type(a).__name__)
def test_an_algorithm_that_is_not_a_string_makes_no_key(alg: Any) -> None:
    with pytest.raises(ConfigurationError):
        Key.generate(alg)
    with pytest.raises(ConfigurationError):
        Key.from_secret(bytes(64), alg)
    with pytest.raises(ConfigurationError):
        Key.from_pem(key("ES256").to_pem(), alg)


def test_a_private_rsa_key_without_primes_is_bounded() -> None:
    members = key("RS256").to_jwk(private=True)
    bare = {name: value for name, value in members.items() if name not in ("p", "q", "dp", "dq", "qi")}
    assert Key.from_jwk(bare) == key("RS256")
    assert Key.from_jwk(bare).to_jwk(private=True) == members
    assert b64url_decode(members["p"].encode()) > b64url_decode(members["q"].encode())
    within = b64(bytes((0x80, *bytes(510), 1)))
    with pytest.raises(InvalidKey, match="not a valid key"):
        Key.from_jwk(bare | {"n": within, "d": "AQ"})
    long = b64(bytes((0x01, *bytes(511), 1)))
    with pytest.raises(InvalidKey, match="with its primes"):
        Key.from_jwk(bare | {"n": long, "d": long})
