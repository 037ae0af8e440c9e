"""Inspection rules on a token's shape and header (RFC 7515 4, RFC 8725)."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from admit.errors import MalformedToken, shown
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import MAX_TOKEN, b64url_decode
from admit.jose.header import normal_type
from admit.tokens.finding import Rule, Subject
from admit.tokens.kinds import ACCESS

COOKIE: Final = 4096
"""Characters: browsers keep no larger cookie (RFC 6265 6.1), and common proxies take 8 KiB of headers in all."""

_SIGNING: Final = frozenset(ALGORITHMS) | {alias for row in ALGORITHMS.values() for alias in row.aliases}
# RFC 7518 4.1 without RSA1_5, whose padding can be asked until it tells (Bleichenbacher).
_ENCRYPTING: Final = re.compile(
    r"dir|RSA-OAEP(-256|-384|-512)?|A(128|192|256)(GCM)?KW|ECDH-ES(\+A(128|192|256)KW)?|PBES2-.+"
)
_JWS_PARTS: Final = ("header", "payload", "signature")
_JWE_PARTS: Final = ("header", "encrypted key", "initialization vector", "ciphertext", "tag")
_KEYS: Final = ("jku", "jwk", "x5u", "x5c")
# A path, a URL, a query or a command: whoever looks the key up by name would run it.
_HOSTILE_KID: Final = re.compile(
    r"\.\.|[\\'\";|`$<>%\x00-\x20]|^[/~]|/.*/|^[a-z]+://|\.(pem|key|json|jwk|crt|db)$", re.IGNORECASE
)


def _jwe(subject: Subject) -> bool:
    """Whether it is a JWE, or was one before it was cut: only JWEs name an enc (RFC 7516 4.1.2)."""
    return subject.encrypted or "enc" in subject.header


def _malformed(subject: Subject) -> str | None:
    told = [*_misspelled(subject), _duplicate(subject), _none(subject)]  # each a finding of its own, and one problem
    return subject.problems[0] if len(subject.problems) > sum(each is not None for each in told) else None


def _misspelled(subject: Subject) -> list[str]:
    """The parts that are whole, and not written as RFC 7515 2 has it."""
    found: list[str] = []
    for name, part in zip(_JWE_PARTS if subject.encrypted else _JWS_PARTS, subject.token.split("."), strict=False):
        try:
            b64url_decode(part.encode("utf-8", "replace"))
        except MalformedToken:
            found += [name] if len(part.rstrip("=")) % 4 != 1 else []  # which is the length of no bytes
    return found


def _not_canonical(subject: Subject) -> str | None:
    found = _misspelled(subject)
    return f"the {found[0]} is not canonical base64url" if found else None


def _duplicate(subject: Subject) -> str | None:
    doubled: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            doubled.append(next(name for name in names if names.count(name) > 1))
        return members

    for name, part in zip(("header", "payload"), subject.token.split("."), strict=False):
        try:
            json.loads(b64url_decode(part.encode("utf-8", "replace")), object_pairs_hook=look)
        except (MalformedToken, ValueError, RecursionError):
            continue
        if doubled:
            return f"the {name} has the member {shown(doubled[0])} more than once"
    return None


def _none(subject: Subject) -> str | None:
    if subject.alg.lower() == "none":
        return f"alg is {shown(subject.alg)}: nothing is signed"
    if subject.token.count(".") == 2 and subject.token.endswith(".") and not _jwe(subject):
        return "the signature is empty"
    return None


def _unknown(subject: Subject) -> str | None:
    if "alg" not in subject.header or subject.alg.lower() == "none":
        return None
    fits = _ENCRYPTING.fullmatch(subject.alg) if _jwe(subject) else subject.alg in _SIGNING
    return None if fits else f"alg is {shown(subject.header['alg'])}, which is broken, made up, or for something else"


def _small_rsa(subject: Subject) -> str | None:
    rsa = subject.alg in ALGORITHMS and ALGORITHMS[subject.alg].kty == "RSA"
    if rsa and 0 < subject.signature < 256 and not _not_canonical(subject):
        return f"the signature has {subject.signature} bytes: the RSA key has {subject.signature * 8} bits"
    return None


def _shared(subject: Subject) -> str | None:
    row = ALGORITHMS.get(subject.alg)
    return f"{subject.alg}: whoever can verify this can also sign" if row is not None and row.symmetric else None


def _keys_inside(subject: Subject) -> str | None:
    found = [name for name in _KEYS if name in subject.header]
    return f"the header holds {', '.join(found)}" if found else None


def _kid_path(subject: Subject) -> str | None:
    kid = subject.header.get("kid")
    if not isinstance(kid, str) or not _HOSTILE_KID.search(kid):
        return None
    return "kid looks like a path, a URL, a query or a command"


def _no_kid(subject: Subject) -> str | None:
    return None if "kid" in subject.header or not subject.header else "there is no kid"


def _no_typ(subject: Subject) -> str | None:
    cty = subject.header.get("cty")
    nested = _jwe(subject) and isinstance(cty, str) and normal_type(cty) == "jwt"  # the typ is the inner token's
    return None if "typ" in subject.header or not subject.header or nested else "there is no typ"


def _wrong_typ(subject: Subject) -> str | None:
    typ = subject.header.get("typ")
    if "typ" not in subject.header:
        return None
    if not isinstance(typ, str) or not (
        normal_type(typ) == "jwt" or normal_type(typ).endswith("+jwt") or subject.encrypted
    ):
        return f"typ is {shown(typ)}"
    if normal_type(typ) == "jwt" and {"scope", "client_id"} <= subject.claims.keys():
        return "typ is 'JWT', and scope and client_id are an access token's ('at+jwt')"
    if normal_type(typ) == "at+jwt" and not subject.encrypted and (lacking := ACCESS.required - subject.claims.keys()):
        return f"typ is 'at+jwt', and an access token's {', '.join(sorted(lacking))} is missing"
    return None


def _zipped(subject: Subject) -> str | None:
    return "zip is there: the plaintext was compressed" if subject.encrypted and "zip" in subject.header else None


def _huge(subject: Subject) -> str | None:
    size = len(subject.token)
    if size <= COOKIE:
        return None
    more = f"; verifiers read {MAX_TOKEN} unless told otherwise" if size > MAX_TOKEN else ""
    return f"the token has {size} characters{more}"


RULES: Final = (
    Rule(
        "malformed",
        "error",
        "A strict reader refuses the token: it was cut, changed on the way, or never was one. A lenient reader guesses, and two"
        " readers that guess differently can be played against each other.",
        "Copy the token whole; where the issuer writes it so, mend the issuer.",
        _malformed,
    ),
    Rule(
        "not-canonical",
        "error",
        "A part is not base64url as RFC 7515 2 writes it: padding, white space, the other alphabet, or spare bits that are set."
        " Several spellings of one token would verify, so a denylist of tokens by their text can be walked around.",
        "Encode without padding, in the alphabet A-Z a-z 0-9 - _, and refuse everything else.",
        _not_canonical,
    ),
    Rule(
        "duplicate-member",
        "error",
        "A member is there twice. Some readers keep the first and some the last: what one service checks, another does not see"
        " (RFC 7519 4).",
        "Write each member once, with a JSON encoder; refuse duplicates when reading.",
        _duplicate,
    ),
    Rule(
        "alg-none",
        "error",
        "The token is not signed at all: anybody can write one (RFC 8725 3.2).",
        "Sign it, and let verifiers name the algorithms they accept; `none` is never among them.",
        _none,
    ),
    Rule(
        "alg-unknown",
        "error",
        "The algorithm is none that is known to be good for this: RSA1_5 among them, whose padding leaks what it hides.",
        "Use Ed25519, ES256 or RS256 to sign, ECDH-ES or RSA-OAEP-256 to encrypt.",
        _unknown,
    ),
    Rule(
        "rsa-small",
        "error",
        "The signature's size tells the size of the RSA key, and under 2048 bits it can be factored (RFC 7518 3.3).",
        "Make a new key: `jwt key generate`.",
        _small_rsa,
    ),
    Rule(
        "key-in-header",
        "error",
        "The header brings a key, or says where to fetch one (jku, jwk, x5u, x5c). A verifier that follows it lets the attacker"
        " choose the key, and makes requests for him (RFC 8725 3.10).",
        "Name the key by kid alone, and let verifiers hold the issuer's keys.",
        _keys_inside,
    ),
    Rule(
        "kid-path",
        "error",
        "The kid looks like a path, a URL, a query or a command. Verifiers that look keys up in files or by SQL have been made to"
        " read /dev/null or an attacker's row (RFC 8725 3.10).",
        "Use the key's thumbprint as its kid (RFC 7638): `jwt key thumbprint`.",
        _kid_path,
    ),
    Rule(
        "kid-missing",
        "note",
        "Without a kid the verifier has to guess the key, and keys cannot be rotated without a gap (RFC 7515 4.1.4).",
        "Set kid to the key's thumbprint.",
        _no_kid,
    ),
    Rule(
        "typ-missing",
        "warning",
        "Without a typ one kind of token can pass for another: an ID token for an access token, a mail link for a login"
        " (RFC 8725 3.11).",
        "Set typ: `at+jwt` for access tokens, a type of its own for each other kind; check it when verifying.",
        _no_typ,
    ),
    Rule(
        "typ-wrong",
        "warning",
        "The typ is no JWT's, or not that of the kind of token the claims speak of (RFC 8725 3.11, RFC 9068 2.1).",
        "Set typ to what the token is, and give it the claims of that kind.",
        _wrong_typ,
    ),
    Rule(
        "shared-secret",
        "note",
        "The token is signed with a shared secret: every service that verifies it could also have written it.",
        "Keep it to one service that talks to itself; between services sign with a key pair.",
        _shared,
    ),
    Rule(
        "compressed",
        "warning",
        "Compressed before it was encrypted: its length tells about its content, and a small token can unpack to gigabytes"
        " (RFC 8725 3.6).",
        "Leave zip out.",
        _zipped,
    ),
    Rule(
        "token-size",
        "warning",
        f"The token has more than {COOKIE} characters: no browser keeps it in a cookie, and proxies cut or refuse it.",
        "Carry ids in place of lists, and let services look the rest up.",
        _huge,
    ),
)
"""In the order in which they are reported."""
