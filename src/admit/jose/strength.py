"""What key material must be: of its algorithm's kind, large enough, of a good order (RFC 7518 3, RFC 8725 3.5)."""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admit.errors import InvalidKey
from admit.jose.algorithms import Algorithm
from admit.jose.jwk import curve_name
from admit.jose.key_management import KeyManagement
from admit.jose.pem import looks_like_key_material

MIN_PASSWORD: Final = 8
"""Bytes of a password for PBES2: the least that anybody recommends (NIST SP 800-63B 5.1.1.1)."""
RSA_BITS: Final = range(2048, 8193)  # RFC 7518 3.3 below; above, one verification costs milliseconds
RSA_EXPONENTS: Final = range(65537, 2**64, 2)  # FIPS 186-5 5.1 below; above, a public operation costs milliseconds

_P25519: Final = 2**255 - 19
# y of every point whose order divides 8: under such a key a signature can verify for any message.
_SMALL_ORDER_25519: Final = frozenset(
    (
        0,
        1,
        _P25519 - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    )
)
_P448: Final = 2**448 - 2**224 - 1
_SMALL_ORDER_448: Final = frozenset((0, 1, _P448 - 1))
# (type, bits of y, p, a, d, y of small order) of the curve a x^2 + y^2 = 1 + d x^2 y^2 (RFC 8032 5.1, 5.2)
_EDWARDS: Final = (
    (ed25519.Ed25519PublicKey, 255, _P25519, -1, -121665 * pow(121666, -1, _P25519), _SMALL_ORDER_25519),
    (ed448.Ed448PublicKey, 455, _P448, 1, -39081, _SMALL_ORDER_448),
)

_SMALL_PRIMES: Final = tuple(p for p in range(2, 168) if all(p % q for q in range(2, p)))
# Infineon's broken generator (ROCA, CVE-2017-15361): its moduli are powers of 65537 modulo each of these primes.
_ROCA: Final = {p: frozenset(pow(65537, power, p) for power in range(p)) for p in _SMALL_PRIMES[1:]}

_FERMAT_STEPS: Final = 100  # generators that take the next prime need one or two (CVE-2022-26320); 0.1 ms for 4096 bits
_SQUARES: Final = frozenset(number * number % 5040 for number in range(5040))  # one number in 26 is left to isqrt


def refuse_weak(public: Any, row: Algorithm) -> None:
    """Raise InvalidKey where a public half, or a secret, is not for that algorithm or gives no security with it."""
    if row.symmetric:
        _refuse_weak_secret(public, row)
    elif row.kty == "RSA":
        _refuse_weak_rsa(public, row.name)
    elif row.kty == "EC":
        if not isinstance(public, ec.EllipticCurvePublicKey) or curve_name(public.curve) != row.crv:
            raise InvalidKey(f"{row.name} takes a key on {row.crv}")
    else:
        if not isinstance(public, row.public_type):  # type: ignore[arg-type]
            raise InvalidKey(f"{row.name} takes a key made for {row.crv or row.name}")
        _refuse_bad_point(public)


def refuse_unfit(public: Any, row: KeyManagement) -> None:
    """The same for encryption: secrets of the exact size, curves of the row, points that agree (RFC 7518 4)."""
    if row.symmetric:
        if not isinstance(public, bytes):
            raise InvalidKey(f"{row.name} takes a secret, not a key pair")
        if len(public) < MIN_PASSWORD if row.from_password else len(public) != row.size:
            size = f"at least {MIN_PASSWORD}" if row.from_password else row.size
            raise InvalidKey(f"a secret for {row.name} has {size} bytes, this one {len(public)}")
        if looks_like_key_material(public):
            raise InvalidKey("this secret is a key document (PEM, DER, SSH or JWK); a public key is no secret")
    elif row.kty == "RSA":
        _refuse_weak_rsa(public, row.name)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if curve_name(public.curve) not in row.crvs:
            raise InvalidKey(f"{row.name} takes a key on one of {', '.join(sorted(row.crvs))}")
    elif isinstance(public, x25519.X25519PublicKey):
        _refuse_no_agreement(x25519.X25519PrivateKey.from_private_bytes(bytes(range(32))), public)
    elif isinstance(public, x448.X448PublicKey):
        _refuse_no_agreement(x448.X448PrivateKey.from_private_bytes(bytes(range(56))), public)
    else:
        raise InvalidKey(f"{row.name} takes a key on one of {', '.join(sorted(row.crvs))}")


def _refuse_no_agreement(any_private: Any, public: Any) -> None:
    """Every private key is a multiple of the cofactor, so that one shows what all of them would get (RFC 7748 6)."""
    try:
        any_private.exchange(public)
    except ValueError:
        raise InvalidKey(
            "this public key has a small order: whoever agrees with it agrees on zero (RFC 7748 6.1)"
        ) from None


def _refuse_weak_secret(secret: Any, row: Algorithm) -> None:
    if not isinstance(secret, bytes):
        raise InvalidKey(f"{row.name} takes a secret, not a key pair")
    if len(secret) * 8 < row.minimum_bits:
        raise InvalidKey(
            f"a secret for {row.name} has at least {row.minimum_bits // 8} bytes, this one {len(secret)}"
            f" (RFC 7518 3.2); make one with Key.generate({row.name!r})"
        )
    if looks_like_key_material(secret):
        raise InvalidKey("this secret is a key document (PEM, DER, SSH or JWK); a public key is no secret")


def _refuse_weak_rsa(public: Any, name: str) -> None:
    if not isinstance(public, rsa.RSAPublicKey):
        raise InvalidKey(f"{name} takes an RSA key")
    numbers = public.public_numbers()
    if public.key_size not in RSA_BITS or numbers.e not in RSA_EXPONENTS:
        raise InvalidKey(
            f"an RSA key has 2048 to 8192 bits and an odd exponent of 17 to 64 bits; this one {public.key_size} bits"
        )
    if not all(numbers.n % prime for prime in _SMALL_PRIMES):
        raise InvalidKey("this RSA modulus has a small factor: it is not the product of two large primes")
    if all(numbers.n % prime in powers for prime, powers in _ROCA.items()):
        raise InvalidKey("this RSA key was made by a generator whose keys can be factored (ROCA, CVE-2017-15361)")
    if _factors_are_close(numbers.n):
        raise InvalidKey("the primes of this RSA modulus are so close that anybody finds them (CVE-2022-26320)")


def _factors_are_close(n: int) -> bool:
    """Whether Fermat's method factors n in a few steps: n = a^2 - b^2 for an a just over its root; b = 0 for a square."""
    a = isqrt(n - 1) + 1
    rest = a * a - n
    for _ in range(_FERMAT_STEPS):
        if rest % 5040 in _SQUARES and isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * a + 1
        a += 1
    return False


def _refuse_bad_point(public: Any) -> None:
    for kind, bits, prime, a, d, small in _EDWARDS:
        if not isinstance(public, kind):
            continue
        encoded = int.from_bytes(public.public_bytes(Encoding.Raw, PublicFormat.Raw), "little")
        y = encoded & ((1 << bits) - 1)  # the bit above is the sign of x
        if y >= prime or y in small:
            raise InvalidKey(
                "this Edwards-curve public key has a small order or is not canonical: any message could verify"
            )
        # x^2 = (1 - y^2) / (a - d y^2) has a root where the product of the two has one; Euler's criterion tells
        if pow((1 - y * y) * (a - d * y * y), prime // 2, prime) != 1:
            raise InvalidKey("this Edwards-curve public key is not a point of its curve (RFC 8032 5.1.3, 5.2.3)")
