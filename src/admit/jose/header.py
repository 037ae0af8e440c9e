"""Headers, protected and not: read strictly, with crit, and with nothing in them that chooses keys (RFC 7515 4, RFC 8725 3)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

import msgspec

from admit.errors import ConfigurationError, MalformedToken, shown
from admit.jose.encoding import b64url_decode, b64url_encode, json_object, written

_STRINGS: Final = ("kid", "typ", "cty", "jku", "x5u", "x5t", "x5t#S256", "enc", "zip", "apu", "apv", "iv", "tag", "p2s")
_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    **dict.fromkeys(_STRINGS, (str, "a string")),
    **dict.fromkeys(("jwk", "epk"), (dict, "an object")),
    "x5c": (list, "a list"),
}
"""What a registered parameter is, even where nobody reads it (RFC 7515 5.2 step 4)."""
_REGISTERED: Final = frozenset(("alg", "crit", "p2c", *_TYPES))  # may not be listed in crit (RFC 7515 4.1.11)
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)


class Header(msgspec.Struct, frozen=True):
    """A header. `jku`, `jwk`, `x5u` and `x5c` stay in `members`: never fetched, never trusted (RFC 8725 3.10)."""

    alg: str
    kid: str | None
    typ: str | None
    """In lower case and without `application/` (RFC 7515 4.1.9), or None."""
    members: dict[str, Any]
    unprotected: frozenset[str] = frozenset()
    """The names among `members` that no signature covers: only JSON serializations have any."""

    @property
    def b64(self) -> bool:
        """Whether the payload is signed in base64url (RFC 7797 3)."""
        return self.members.get("b64") is not False


def parse(segment: bytes, *, understood: frozenset[str] = frozenset()) -> Header:
    """The header in a base64url segment.

    `understood` names the extensions whose meaning the caller enforces. Raises MalformedToken for anything not strict:
    encoding, JSON, types, and a crit that is empty, repeats itself, names registered, absent or unknown parameters.
    """
    members = _read(segment)
    _check_crit(members, understood)
    return _header(members, frozenset())


def join(
    protected: bytes | None, unprotected: Mapping[str, Any], *, understood: frozenset[str] = frozenset()
) -> Header:
    """The header of a JSON serialization: a protected segment, if there is one, and members that nothing protects.

    Raises MalformedToken as `parse` does, and for a name on both sides, or crit or b64 among the unprotected
    (RFC 7515 4.1.11, 7.2.1; RFC 7797 3).
    """
    members = {} if protected is None else _read(protected)
    if protected is not None and not members:
        raise MalformedToken("an empty protected header is left out (RFC 7515 7.2.1)")
    if members.keys() & unprotected.keys():
        raise MalformedToken("the protected and the unprotected header share a name (RFC 7515 7.2.1)")
    if "crit" in unprotected or "b64" in unprotected:
        raise MalformedToken("crit and b64 belong in the protected header (RFC 7515 4.1.11, RFC 7797 3)")
    _check_crit(members, understood)
    return _header(members | dict(unprotected), frozenset(unprotected))


def _read(segment: bytes) -> dict[str, Any]:
    try:
        return json_object(b64url_decode(segment))
    except MalformedToken as error:
        raise MalformedToken(f"the header is malformed: {error}") from None


def _header(members: dict[str, Any], unprotected: frozenset[str]) -> Header:
    alg, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(alg, str):
        raise MalformedToken("the header has no alg, or it is not a string")
    for name in _TYPES.keys() & members.keys():
        expected, said = _TYPES[name]
        if not isinstance(members[name], expected):
            raise MalformedToken(f"the header's {name} is not {said}")
    if not all(isinstance(certificate, str) for certificate in members.get("x5c", ())):
        raise MalformedToken("the header's x5c is not a list of strings")
    return Header(alg, kid, None if typ is None else normal_type(typ), members, unprotected)


def normal_type(typ: str) -> str:
    """A media type as typ and cty compare: lower case, without `application/` (RFC 7515 4.1.9, RFC 2045 5.1)."""
    # ASCII letters only: str.lower() makes a k of the Kelvin sign, which is another type.
    return typ.translate(_LOWER).removeprefix("application/")


def encode(
    alg: str, kid: str | None, typ: str | None, others: Mapping[str, object] | None = None, *, b64: bool = True
) -> bytes:
    """The base64url segment of a protected header. Raises MalformedToken where `others` repeat alg, kid, typ or b64,
    ConfigurationError where they are nothing that JSON can say."""
    members: dict[str, object] = {"alg": alg}
    if typ is not None:
        members["typ"] = typ
    if kid is not None:
        members["kid"] = kid
    if not b64:
        members |= {"b64": False, "crit": ["b64"]}
    if others:
        if not isinstance(others, Mapping):
            raise ConfigurationError(f"further header parameters are a mapping, not {type(others).__name__}")
        if members.keys() & others.keys():
            raise MalformedToken("alg, kid, typ and b64 are set by arguments of their own, not by further parameters")
        members |= others
    return b64url_encode(written(members))


def _check_crit(members: Mapping[str, Any], understood: frozenset[str]) -> None:
    if not isinstance(understood, Set) or not all(isinstance(name, str) for name in understood):
        raise ConfigurationError("understood is a set of the names of extensions")
    crit = members.get("crit")
    if "b64" in members and not (isinstance(crit, list) and "b64" in crit and isinstance(members["b64"], bool)):
        raise MalformedToken("b64 is true or false, and named in crit (RFC 7797 3, 6)")
    if "crit" not in members:
        return
    if not isinstance(crit, list) or not crit or not all(isinstance(name, str) for name in crit):
        raise MalformedToken("crit is not a non-empty list of strings (RFC 7515 4.1.11)")
    for name in crit:
        if name in _REGISTERED or name not in members or crit.count(name) > 1:
            raise MalformedToken(f"crit names {shown(name)}, which is registered, absent or repeated")
        if name not in understood:
            raise MalformedToken(f"the token needs the extension {shown(name)} understood, and it is not")
