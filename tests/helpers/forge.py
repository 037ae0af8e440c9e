"""Keys of every algorithm, made once, and tokens that no honest signer writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache

from admit import Key
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import b64url_encode

ALL = tuple(ALGORITHMS)
FAST = ("HS256", "ES256", "Ed25519")
NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://auth.example", "orders"
KID = "k1"


@cache
def key(alg: str, number: int = 0) -> Key:
    """One key of that algorithm; another `number` is another key under the same kid."""
    return Key.generate(alg, kid=KID)


def b64(data: bytes) -> str:
    return b64url_encode(data).decode()


def claims(**changes: object) -> dict[str, object]:
    """The claims of a good access token at NOW; a change to None leaves a claim out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "exp": NOW + 600,
        "iat": NOW,
        "jti": "j1",
        "client_id": "web",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def forge(
    payload: Mapping[str, object] | bytes | None = None,
    *,
    alg: str = "HS256",
    header: Mapping[str, object] | bytes | None = None,
    signer: Key | None = None,
    **extra: object,
) -> str:
    """A token signed with the right key, whatever it says. `extra` goes into the header; None there leaves a member out."""
    signer = signer or key(alg)
    if header is None:
        members = {"alg": signer.alg, "typ": "at+jwt", "kid": signer.kid} | extra
        header = {name: value for name, value in members.items() if value is not None}
    if payload is None:
        payload = claims()
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(map(b64, parts)).encode()
    return (signing_input + b"." + signer.sign(signing_input)).decode()


def related(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that hangs on it."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [other for other in (found.__cause__, found.__context__) if other is not None]
        waiting += [item for item in found.args if isinstance(item, BaseException)]


def said(error: BaseException) -> str:
    """Every text that a log could take from an exception: str, repr and notes, along causes and contexts."""
    return "\n".join(text for one in related(error) for text in (str(one), repr(one), *getattr(one, "__notes__", ())))
