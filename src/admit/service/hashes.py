"""Hashes that other systems made of passwords, as rows: Django's, Werkzeug's, passlib's, and bare bcrypt.

They are checked until their user's next login, which replaces them by Argon2id. The primitives are the standard library's
and the `bcrypt` package's. What a hash makes the service work is bounded when it is imported.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Final, NamedTuple

from argon2.exceptions import VerificationError
from argon2.low_level import Type, verify_secret

from admit.errors import InvalidRequest

_ITERATIONS: Final = 2_000_000  # of PBKDF2: Django 6 takes 1,200,000, half a second or so
_ROUNDS: Final = 15  # bcrypt's logarithm: two seconds
_MEMORY: Final = 256 * 1024 * 1024  # bytes, of scrypt and Argon2
_LONGEST: Final = 4096  # characters of a password; Django takes no more either
_WORK: Final = 1024 * 1024 * 1024  # bytes that scrypt or Argon2 passes over
_BCRYPT_BYTES: Final = 72  # all that bcrypt reads; what is longer was cut off, there and here


Bounded = Callable[[re.Match[str]], bool]
Right = Callable[[re.Match[str], bytes, bytes, bytes], bool]
Decoded = Callable[[str], bytes]


class Scheme(NamedTuple):
    """One spelling of hashes: what it looks like, whether its work is within bounds, and whether a password is right.

    `right` is given the match, the password, and the groups `salt` and `hash` as `decoded` reads them.
    """

    pattern: re.Pattern[str]
    bounded: Bounded
    right: Right
    salt: Decoded
    hash: Decoded

    def parts(self, match: re.Match[str]) -> tuple[bytes, bytes]:
        """Salt and hash, where they stand by themselves. Raises ValueError."""
        groups = match.groupdict()
        return self.salt(groups.get("salt") or ""), self.hash(groups.get("hash") or "")


def usable(stored: str) -> str:
    """The hash as it is stored. Raises InvalidRequest for one of no known scheme, or whose work would be beyond bounds."""
    scheme, match = _found(stored)
    if scheme is None or match is None:
        raise InvalidRequest(
            "the password hash is none that Django, Werkzeug or passlib make with Argon2, bcrypt, PBKDF2 or scrypt"
        )
    if not scheme.bounded(match):
        raise InvalidRequest("the password hash would take too much work or memory to check")
    if "$2" in stored or "bcrypt" in stored:
        _bcrypt()
    try:
        scheme.parts(match)
    except ValueError:
        raise InvalidRequest("the password hash is damaged") from None
    # Argon2 as Django writes it: a bare one is Admit's own, made of a normalized password.
    return f"argon2{stored}" if stored.startswith("$argon2") else stored


def check(stored: str, password: str) -> bool:
    """Whether the password is the hashed one. The other systems hashed its UTF-8, as it came, and so does this."""
    scheme, match = _found(stored)
    if scheme is None or match is None or not scheme.bounded(match) or len(password) > _LONGEST:
        return False
    try:
        return scheme.right(match, password.encode(), *scheme.parts(match))
    except (ValueError, MemoryError):  # a damaged hash; a NUL or a lone surrogate, which are in no hashed password
        return False


def _found(stored: str) -> tuple[Scheme, re.Match[str]] | tuple[None, None]:
    for scheme in _SCHEMES:
        match = scheme.pattern.fullmatch(stored)
        if match is not None:
            return scheme, match
    return None, None


def _few_iterations(match: re.Match[str]) -> bool:
    return 0 < int(match["n"]) <= _ITERATIONS


def _few_rounds(match: re.Match[str]) -> bool:
    return 4 <= int(match["n"]) <= _ROUNDS


def _small_scrypt(match: re.Match[str]) -> bool:
    memory = 128 * _n(match) * int(match["r"])
    return 0 < memory <= _MEMORY and memory * int(match["p"]) <= _WORK


def _n(match: re.Match[str]) -> int:
    return 1 << int(match["ln"]) if "ln" in match.re.groupindex else int(match["n"])


def _small_argon2(match: re.Match[str]) -> bool:
    memory = 1024 * int(match["m"])
    return memory <= _MEMORY and memory * int(match["t"]) <= _WORK and 0 < int(match["p"]) <= 64


def _pbkdf2(match: re.Match[str], password: bytes, salt: bytes, wanted: bytes) -> bool:
    made = hashlib.pbkdf2_hmac(match["h"] or "sha1", password, salt, int(match["n"]), len(wanted))
    return hmac.compare_digest(made, wanted)


def _scrypt(match: re.Match[str], password: bytes, salt: bytes, wanted: bytes) -> bool:
    n, r, p = _n(match), int(match["r"]), int(match["p"])
    made = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * _MEMORY, dklen=len(wanted))
    return hmac.compare_digest(made, wanted)


def _argon2(match: re.Match[str], password: bytes, *_: bytes) -> bool:
    try:
        return verify_secret(match["rest"].encode(), password, _ARGON2_TYPES[match["kind"]])
    except VerificationError:
        return False


def _plain_bcrypt(match: re.Match[str], password: bytes, *_: bytes) -> bool:
    return _bcrypt()(password[:_BCRYPT_BYTES], match["rest"].encode())


def _django_bcrypt_sha256(match: re.Match[str], password: bytes, *_: bytes) -> bool:
    return _bcrypt()(hashlib.sha256(password).hexdigest().encode(), match["rest"].encode())


def _passlib_bcrypt_sha256(match: re.Match[str], password: bytes, *_: bytes) -> bool:
    salt = match["salt"].encode()
    digest = hmac.digest(salt, password, "sha256") if match["v"] else hashlib.sha256(password).digest()
    stored = f"${match['kind']}${int(match['n']):02}${match['salt']}{match['hash']}"
    return _bcrypt()(b2a_base64(digest, newline=False), stored.encode())


def _bcrypt() -> Callable[[bytes, bytes], bool]:
    try:
        from bcrypt import checkpw
    except ModuleNotFoundError:
        raise InvalidRequest("bcrypt hashes need the extra: pip install 'admit[bcrypt]'") from None
    return checkpw


def _base64(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)


def _adapted(text: str) -> bytes:
    """passlib's base64: no padding, and a dot for the plus."""
    return a2b_base64(text.replace(".", "+") + "=" * (-len(text) % 4))


_TEXT: Final = r"[!-#%-~]{1,128}"  # Django's and Werkzeug's salts: no dollar
_AB64: Final = r"[A-Za-z0-9./]"
_B64: Final = r"[A-Za-z0-9+/]"
_SALTY: Final = "{1,256}"  # characters
_WHOLE: Final = "{22,256}"  # of a hash, 16 bytes at least: what was cut off to one byte, one password in 256 opens
_SALT: Final = r"[A-Za-z0-9./]{22}"
_2B: Final = rf"\$2[abxy]\$(?P<n>\d\d)\${_SALT}[A-Za-z0-9./]{{31}}"
_NUMBER: Final = r"[1-9]\d{0,8}"
_ARGON2: Final = (
    rf"(?P<rest>\$argon2(?P<kind>id|i|d)\$v=19\$m=(?P<m>{_NUMBER}),t=(?P<t>{_NUMBER}),p=(?P<p>{_NUMBER})"
    r"\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{16,128})"
)


_ARGON2_TYPES: Final = {"id": Type.ID, "i": Type.I, "d": Type.D}
_PBKDF2_SHA: Final = r"(?P<h>sha256|sha512|sha1)"


def _scheme(
    pattern: str, bounded: Bounded, right: Right, salt: Decoded = str.encode, hash_: Decoded = str.encode
) -> Scheme:
    return Scheme(re.compile(pattern, re.ASCII), bounded, right, salt, hash_)


_SCHEMES: Final = (
    # Django's
    _scheme(rf"(?:argon2)?{_ARGON2}", _small_argon2, _argon2),
    _scheme(
        rf"pbkdf2_{_PBKDF2_SHA}\$(?P<n>{_NUMBER})\$(?P<salt>{_TEXT})\$(?P<hash>{_B64}{_WHOLE}={{0,2}})",
        *(_few_iterations, _pbkdf2, str.encode, _base64),
    ),
    _scheme(rf"(?:bcrypt\$)?(?P<rest>{_2B})", _few_rounds, _plain_bcrypt),
    _scheme(rf"bcrypt_sha256\$(?P<rest>{_2B})", _few_rounds, _django_bcrypt_sha256),
    _scheme(
        rf"scrypt\$(?P<n>{_NUMBER})\$(?P<salt>{_TEXT})\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\$(?P<hash>{_B64}{_WHOLE}={{0,2}})",
        *(_small_scrypt, _scrypt, str.encode, _base64),
    ),
    # Werkzeug's
    _scheme(
        rf"pbkdf2:{_PBKDF2_SHA}:(?P<n>{_NUMBER})\$(?P<salt>{_TEXT})\$(?P<hash>[0-9a-f]{{32,128}})",
        *(_few_iterations, _pbkdf2, str.encode, bytes.fromhex),
    ),
    _scheme(
        rf"scrypt:(?P<n>{_NUMBER}):(?P<r>{_NUMBER}):(?P<p>{_NUMBER})\$(?P<salt>{_TEXT})\$(?P<hash>[0-9a-f]{{32,256}})",
        *(_small_scrypt, _scrypt, str.encode, bytes.fromhex),
    ),
    # passlib's
    _scheme(
        rf"\$pbkdf2(?:-(?P<h>sha256|sha512))?\$(?P<n>{_NUMBER})\$(?P<salt>{_AB64}{_SALTY})\$(?P<hash>{_AB64}{_WHOLE})",
        *(_few_iterations, _pbkdf2, _adapted, _adapted),
    ),
    _scheme(
        rf"\$bcrypt-sha256\$(?P<v>v=2,t=)?(?P<kind>2[ab]),(?:r=)?(?P<n>\d{{1,2}})\$(?P<salt>{_SALT})"
        r"\$(?P<hash>[A-Za-z0-9./]{31})",
        *(_few_rounds, _passlib_bcrypt_sha256),
    ),
    _scheme(
        rf"\$scrypt\$ln=(?P<ln>\d{{1,2}}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})\$(?P<salt>{_B64}{_SALTY}={{0,2}})\$(?P<hash>{_B64}{_WHOLE}={{0,2}})",
        *(_small_scrypt, _scrypt, _adapted, _adapted),
    ),
)
