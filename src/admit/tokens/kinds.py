"""Kinds of token, as data: what Signer and Verifier both go by, so that one kind never passes for another (RFC 8725 3.11)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from admit.errors import ConfigurationError
from admit.jose.header import normal_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of token. Make your own for your own tokens: `Kind(name="invite", typ="invite+jwt")`."""

    name: str
    typ: str
    """What a signer writes and a verifier expects, compared as a media type."""
    other_types: frozenset[str | None] = frozenset()
    """Further types that a verifier accepts; None accepts a header without typ. For issuers that predate RFC 9068."""
    required: frozenset[str] = frozenset()
    """Claims that must be there, besides exp and those an expectation makes required."""
    forbidden: frozenset[str] = frozenset()
    """Claims that must not be there, because they mark another kind."""
    max_lifetime: timedelta = timedelta(hours=24)
    """The longest exp - iat that is accepted, or exp - now where there is no iat."""

    def __post_init__(self) -> None:
        if any(isinstance(names, str) for names in (self.other_types, self.required, self.forbidden)):
            raise ConfigurationError(
                f"kind {self.name!r}: other_types, required and forbidden are sets, not one string"
            )
        if not self.typ or self.required & self.forbidden or self.max_lifetime <= timedelta():
            raise ConfigurationError(f"kind {self.name!r} needs a typ, a positive max_lifetime, and no claim both ways")

    def accepts(self, typ: str | None) -> bool:
        """Whether a header's typ (normalized, or None for absent) is this kind's."""
        others = {None if other is None else normal_type(other) for other in self.other_types}
        return typ == normal_type(self.typ) or typ in others


ACCESS: Final = Kind(
    name="access",
    typ="at+jwt",
    required=frozenset(("iss", "exp", "aud", "sub", "client_id", "iat", "jti")),
)
"""An OAuth 2.0 access token (RFC 9068 2.1, 2.2)."""

PLAIN: Final = Kind(name="plain", typ="JWT")
"""A caller's own token, with no meaning but its claims (RFC 7519 5.1)."""
