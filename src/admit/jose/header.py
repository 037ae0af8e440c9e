"""The protected header: read strictly, with crit, and with nothing in it that chooses keys (RFC 7515 4, RFC 8725 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from admit.errors import MalformedToken, shown
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes, json_object

# Registered parameters may not be listed in crit (RFC 7515 4.1.11).
_REGISTERED: Final = frozenset(
    (
        "alg",
        "jku",
        "jwk",
        "kid",
        "x5u",
        "x5c",
        "x5t",
        "x5t#S256",
        "typ",
        "cty",
        "crit",
        "enc",
        "zip",
        "epk",
        "apu",
        "apv",
    )
)


class Header(msgspec.Struct, frozen=True):
    """A protected header. `jku`, `jwk`, `x5u` and `x5c` stay in `members`: never fetched, never trusted (RFC 8725 3.10)."""

    alg: str
    kid: str | None
    typ: str | None
    """In lower case and without `application/` (RFC 7515 4.1.9), or None."""
    members: dict[str, Any]


def parse(segment: bytes, *, understood: frozenset[str] = frozenset()) -> Header:
    """The header in a base64url segment.

    `understood` names the extensions whose meaning the caller enforces. Raises MalformedToken for anything not strict:
    encoding, JSON, types, and a crit that is empty, repeats itself, names registered, absent or unknown parameters.
    """
    try:
        members = json_object(b64url_decode(segment))
    except MalformedToken as error:
        raise MalformedToken(f"the header is malformed: {error}") from None
    alg, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(alg, str):
        raise MalformedToken("the header has no alg, or it is not a string")
    for name in ("kid", "typ", "cty"):
        if name in members and not isinstance(members[name], str):
            raise MalformedToken(f"the header's {name} is not a string")
    _check_crit(members, understood)
    return Header(alg, kid, None if typ is None else normal_type(typ), members)


def normal_type(typ: str) -> str:
    """A media type as typ and cty compare: lower case, without `application/` (RFC 7515 4.1.9, RFC 2045 5.1)."""
    return typ.lower().removeprefix("application/")


def encode(alg: str, kid: str | None, typ: str | None, others: Mapping[str, object] | None = None) -> bytes:
    """The base64url segment of a protected header. Raises MalformedToken where `others` repeat alg, kid or typ."""
    members: dict[str, object] = {"alg": alg}
    if typ is not None:
        members["typ"] = typ
    if kid is not None:
        members["kid"] = kid
    if others:
        if members.keys() & others.keys():
            raise MalformedToken("alg, kid and typ are set by the key and the kind, not by further header parameters")
        members |= others
    return b64url_encode(json_bytes(members))


def _check_crit(members: Mapping[str, Any], understood: frozenset[str]) -> None:
    if "crit" not in members:
        if "b64" in members:
            raise MalformedToken("the header has b64 without naming it in crit (RFC 7797 6)")
        return
    crit = members["crit"]
    if not isinstance(crit, list) or not crit or not all(isinstance(name, str) for name in crit):
        raise MalformedToken("crit is not a non-empty list of strings (RFC 7515 4.1.11)")
    for name in crit:
        if name in _REGISTERED or name not in members or crit.count(name) > 1:
            raise MalformedToken(f"crit names {shown(name)}, which is registered, absent or repeated")
        if name not in understood:
            raise MalformedToken(f"the token needs the extension {shown(name)} understood, and it is not")
