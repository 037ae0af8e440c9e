"""Verifiers: the tokens of several issuers at one door, each judged by its own issuer's verifier alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from admit.clock import Clock
from admit.errors import ConfigurationError, WrongIssuer, shown
from admit.jose.encoding import b64url_decode, json_object
from admit.jose.jws import split
from admit.tokens.claims import Claims
from admit.tokens.verifier import Verifier

E = TypeVar("E")


class Verifiers(Generic[E]):
    """Verifies the tokens of several issuers: the token's `iss` says which verifier judges it, and nothing else does.

    So a key of one issuer never verifies a token that names another (CVE-2025-59936), and what one issuer has to say,
    its audience, kind, revocations or an outage, does not touch the others' tokens.

    verifiers: one for each issuer. Raises ConfigurationError where one of them expects no issuer, or two the same one.
    """

    def __init__(self, verifiers: Iterable[Verifier[E]]) -> None:
        if not isinstance(verifiers, Iterable):
            raise ConfigurationError("verifiers is a collection of Verifier objects, one for each issuer")
        self._by_issuer: Final[dict[str, Verifier[E]]] = {}
        self._max_token = 0
        for verifier in verifiers:
            if not isinstance(verifier, Verifier):
                raise ConfigurationError(f"verifiers holds Verifier objects, not {type(verifier).__name__}")
            if not verifier.issuers:
                raise ConfigurationError(
                    "a verifier that expects no issuer would judge everybody's tokens: name its issuer"
                )
            for issuer in verifier.issuers:
                if issuer in self._by_issuer:
                    raise ConfigurationError(
                        f"two verifiers expect the issuer {shown(issuer, 200)}: one of them would never be asked"
                    )
                self._by_issuer[issuer] = verifier
            self._max_token = max(self._max_token, verifier.max_token)
        if not self._by_issuer:
            raise ConfigurationError("verifiers is empty: name at least one issuer that is trusted")

    @property
    def issuers(self) -> frozenset[str]:
        """Every issuer whose tokens are judged."""
        return frozenset(self._by_issuer)

    @property
    def key_types(self) -> frozenset[str]:
        """The kty of all keys in force (RFC 7517 4.1). Raises KeysUnavailable."""
        return frozenset[str]().union(*(verifier.key_types for verifier in self._by_issuer.values()))

    @property
    def clock(self) -> Clock:
        """What a door judges the age of a login by: the first verifier's."""
        return next(iter(self._by_issuer.values())).clock

    def verify(self, token: str | bytes) -> Claims[E]:
        """The claims of a token that its issuer's verifier accepts, or an InvalidToken that says why not.

        Also raises KeysUnavailable and RevocationsUnavailable, where that issuer's tokens cannot be judged.
        """
        return self.for_token(token).verify(token)

    def recheck(self, claims: Claims[E], token: str | bytes | None = None) -> None:
        """As Verifier.recheck, by the verifier of the claims' issuer."""
        verifier = self._by_issuer.get(claims.iss or "")
        if verifier is None:
            raise WrongIssuer("the claims are of none of these issuers")
        verifier.recheck(claims, token)

    def for_token(self, token: str | bytes) -> Verifier[E]:
        """The verifier of the issuer that a token names, not verified yet. Raises MalformedToken, WrongIssuer."""
        issuer = json_object(b64url_decode(split(token, self._max_token)[2])).get("iss")
        verifier = self._by_issuer.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            expected = " or ".join(shown(one, 200) for one in sorted(self._by_issuer))
            raise WrongIssuer(f"iss is {'missing' if issuer is None else shown(issuer, 200)}, expected {expected}")
        return verifier

    def __repr__(self) -> str:
        return f"<Verifiers of {', '.join(shown(issuer, 200) for issuer in sorted(self._by_issuer))}>"
