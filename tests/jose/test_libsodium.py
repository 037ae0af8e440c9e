"""Why libsodium does not verify Ed25519 here: on one crafted kind of signature it and OpenSSL differ (docs/decisions/0006)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import count

import nacl.exceptions
import nacl.signing
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from admit import Key
from admit.errors import InvalidKey
from tests.helpers.edwards import (
    B25519,
    L25519,
    P25519,
    Point,
    add25519,
    encode25519,
    small_25519,
    spellings,
    times25519,
)
from tests.helpers.forge import b64

MESSAGE = b"header.payload"
SECRET = 0x5DEECE66D5DEECE66D5DEECE66D5DEECE66D % L25519
HONEST = times25519(SECRET)
SMALL = sorted(small_25519(), key=encode25519)
EIGHTH = next(point for point in SMALL if times25519(4, point) != (0, 1))
MIXED = add25519(HONEST, EIGHTH)

Case = tuple[Point, bytes, int]
"""(A, the bytes of R, S)"""


def challenge(r: bytes, public: Point) -> int:
    return int.from_bytes(hashlib.sha512(r + encode25519(public) + MESSAGE).digest(), "little") % L25519


def signed(public: Point, torsion: Callable[[int], Point] = lambda turn: (0, 1)) -> Iterator[tuple[int, Case]]:
    """(k mod 8, signature) whose R is rB and a point of small order."""
    for turn in count(1):
        r = encode25519(add25519(times25519(turn), torsion(turn)))
        k = challenge(r, public)
        yield k % 8, (public, r, (turn + k * SECRET) % L25519)


def honest() -> Case:
    return next(signed(HONEST))[1]


def s_above_the_order() -> Case:
    public, r, s = honest()
    return public, r, s + L25519


def mixed_key_that_cancels() -> Case:
    return next(case for k, case in signed(MIXED) if k == 0)


def mixed_key_that_does_not() -> Case:
    return next(case for k, case in signed(MIXED) if k % 8)


def mixed_r() -> Case:
    """R = rB + T with -kT' = T for the key's own T': only an equation without the cofactor's leeway, met exactly."""
    for turn in count(1):
        for torsion in SMALL[1:]:
            r = encode25519(add25519(times25519(turn), torsion))
            k = challenge(r, MIXED)
            if torsion != (0, 1) and add25519(torsion, times25519(k % 8, EIGHTH)) == (0, 1):
                return MIXED, r, (turn + k * SECRET) % L25519
    raise AssertionError


def mixed_r_under_an_honest_key() -> Case:
    """Valid where a verifier multiplies by the cofactor, and neither does."""
    return next(signed(HONEST, lambda turn: EIGHTH))[1]


def identity_r() -> Case:
    r = encode25519((0, 1))
    return HONEST, r, challenge(r, HONEST) * SECRET % L25519


def small_r_under_a_mixed_key() -> Case:
    for factor in count(1):
        public = add25519(times25519(factor), EIGHTH)
        for torsion in SMALL:
            r = encode25519(torsion)
            k = challenge(r, public)
            if add25519(torsion, times25519(k % 8, EIGHTH)) == (0, 1):
                return public, r, k * factor % L25519
    raise AssertionError


def identity_r_not_canonical() -> Case:
    r = (P25519 + 1).to_bytes(32, "little")
    return HONEST, r, challenge(r, HONEST) * SECRET % L25519


def openssl(public: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, MESSAGE)
    except InvalidSignature:
        return False
    return True


def libsodium(public: bytes, signature: bytes) -> bool:
    try:
        nacl.signing.VerifyKey(public).verify(MESSAGE, signature)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


@pytest.mark.parametrize(
    ("make", "by_openssl", "by_libsodium"),
    [
        (honest, True, True),
        (s_above_the_order, False, False),
        (mixed_key_that_cancels, True, True),
        (mixed_key_that_does_not, False, False),
        (mixed_r, True, True),
        (mixed_r_under_an_honest_key, False, False),
        (identity_r_not_canonical, False, False),
        (identity_r, True, False),
        (small_r_under_a_mixed_key, True, False),
    ],
)
def test_the_two_libraries_differ_where_r_is_of_small_order_and_nowhere_else(
    make: Callable[[], Case], by_openssl: bool, by_libsodium: bool
) -> None:
    public, r, s = make()
    signature = r + s.to_bytes(32, "little")
    assert openssl(encode25519(public), signature) is by_openssl
    assert libsodium(encode25519(public), signature) is by_libsodium


def test_the_keys_on_which_they_could_differ_are_never_made() -> None:
    """A of small order, in every spelling, and A that is not canonical."""
    for data in [*spellings(set(SMALL), P25519, 255, 32), (P25519 + 3).to_bytes(32, "little")]:
        with pytest.raises(InvalidKey):
            Key.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64(data)})


def test_the_arithmetic_is_the_curves() -> None:
    assert times25519(L25519, B25519) == (0, 1)
    private = nacl.signing.SigningKey(bytes(32))
    scalar = bytearray(hashlib.sha512(bytes(32)).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 63 | 64
    assert encode25519(times25519(int.from_bytes(scalar, "little"))) == private.verify_key.encode()
