"""Kinds of token, as data: what Signer and Verifier both go by, so that one kind never passes for another (RFC 8725 3.11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from admit.errors import ConfigurationError, shown
from admit.jose.header import normal_type

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of token. Make your own for your own tokens: `Kind(name="invite", typ="invite+jwt")`.

    The members from `issuer` on describe tokens that somebody else signs; a Signer takes no kind that has them.
    """

    name: str
    typ: str | None
    """What a signer writes and a verifier expects, compared as a media type; None where the header has none."""
    other_types: frozenset[str | None] = frozenset()
    """Further types that a verifier accepts; None accepts a header without typ. For issuers that predate RFC 9068."""
    required: frozenset[str] = frozenset()
    """Claims that must be there, besides exp and those an expectation makes required."""
    forbidden: frozenset[str] = frozenset()
    """Claims that must not be there, because they mark another kind."""
    max_lifetime: timedelta = timedelta(hours=24)
    """The longest exp - iat that is accepted, or exp - now where there is no iat."""
    issuer: str | None = None
    """A regular expression that every issuer of such tokens matches as a whole. A group named `audience` in it is the only
    audience of its tokens."""
    same_issuers: frozenset[str] = frozenset()
    """Spellings of one issuer: where a verifier expects one of them, it accepts each."""
    algorithms: frozenset[str] = frozenset()
    """What such tokens are signed with; none named, whatever the issuer's keys are for."""
    names: Pairs = ()
    """(registered claim, the name it stands under): (("aud", "client_id"),) where the audience is in `client_id`."""
    marks: Pairs = ()
    """(claim, regular expression): the claim is there, a string, and matches as a whole. What tells this kind from others."""

    def __post_init__(self) -> None:
        sets = (self.other_types, self.required, self.forbidden, self.same_issuers, self.algorithms)
        if any(isinstance(names, str) for names in sets):
            raise ConfigurationError(f"kind {self.name!r}: its sets of names are sets, not one string")
        if self.typ == "" or self.required & self.forbidden or self.max_lifetime <= timedelta():
            raise ConfigurationError(f"kind {self.name!r} needs a typ, a positive max_lifetime, and no claim both ways")
        try:
            for pattern in (self.issuer or "", *(pattern for _, pattern in self.marks)):
                re.compile(pattern)
        except (re.error, TypeError, ValueError):
            raise ConfigurationError(f"kind {self.name!r}: issuer and marks are regular expressions") from None

    @property
    def foreign(self) -> bool:
        """Whether these are tokens that another issuer signs in its own way."""
        return bool(self.issuer or self.same_issuers or self.names or self.marks or self.typ is None)

    def accepts(self, typ: str | None) -> bool:
        """Whether a header's typ (normalized, or None for absent) is this kind's."""
        return typ in {None if one is None else normal_type(one) for one in (self.typ, *self.other_types)}

    def registered(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The claims with each of `names` in its registered place; what stood in that place itself is not believed.

        A scope that is a list becomes the string that RFC 6749 3.3 has.
        """
        claims = {name: value for name, value in raw.items() if name not in dict(self.names)}
        for name, place in self.names:
            if place in raw:
                value = raw[place]
                strings = name == "scope" and isinstance(value, list) and all(isinstance(item, str) for item in value)
                claims[name] = " ".join(value) if strings else value
        return claims

    def place(self, name: str) -> str:
        """Under which name a registered claim stands."""
        return dict(self.names).get(name, name)

    def issuers(self, expected: frozenset[str]) -> frozenset[str]:
        """All spellings of the issuers expected. Raises ConfigurationError where one cannot be an issuer of this kind."""
        for issuer in expected:
            self._match(issuer)
        return expected | self.same_issuers if expected & self.same_issuers else expected

    def check_audience(self, issuers: frozenset[str], audiences: frozenset[str]) -> None:
        """Raise ConfigurationError where an issuer is for one audience only, and another is expected."""
        for issuer in issuers:
            only = self._match(issuer).get("audience")
            if only is not None and audiences != {only}:
                raise ConfigurationError(f"tokens of {shown(issuer, 200)} have the audience {shown(only)} and no other")

    def _match(self, issuer: str) -> dict[str, str | None]:
        if self.issuer is None or issuer in self.same_issuers:
            return {}
        match = re.fullmatch(self.issuer, issuer)
        if match is None:
            raise ConfigurationError(
                f"{shown(issuer, 200)} is no issuer of kind {self.name!r}, whose issuers look like {self.issuer};"
                " copy it from the iss of a token"
            )
        return match.groupdict()


ACCESS: Final = Kind(
    name="access",
    typ="at+jwt",
    required=frozenset(("iss", "exp", "aud", "sub", "client_id", "iat", "jti")),
)
"""An OAuth 2.0 access token (RFC 9068 2.1, 2.2)."""

PLAIN: Final = Kind(name="plain", typ="JWT")
"""A caller's own token, with no meaning but its claims (RFC 7519 5.1)."""
