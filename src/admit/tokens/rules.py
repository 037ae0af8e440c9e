"""The validation rules, one function each. A function takes the expectation and gives the prepared rule.

A rule is called with (registered claims, all claims, now in seconds) and raises an InvalidToken, or says nothing.
The signature was verified before; nothing here decides whom to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET

from admit.errors import (
    ExpiredToken,
    ImmatureToken,
    InvalidClaim,
    OverlongToken,
    WrongAudience,
    WrongIssuer,
    shown,
)
from admit.tokens.claims import Registered

Rule = Callable[[Registered, dict[str, Any], float], None]

SKEW = 10.0
"""Seconds by which an honest issuer's clock may be ahead of ours, for nbf and iat."""


def issuer(expected: frozenset[str]) -> Rule:
    """iss is one of these, as an exact string: no prefix, no case folding (RFC 7519 4.1.1; CVE-2024-53861)."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        if claims.iss not in expected:
            found = "missing" if claims.iss is UNSET else shown(claims.iss)
            raise WrongIssuer(f"iss is {found}, expected {' or '.join(map(shown, sorted(expected)))}")

    return rule


def audience(expected: frozenset[str]) -> Rule:
    """aud is one of these strings, or a list that holds one (RFC 7519 4.1.3)."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        aud = claims.aud
        if aud in expected if type(aud) is str else aud is not UNSET and not expected.isdisjoint(aud):  # type: ignore[arg-type]
            return
        found = "missing" if aud is UNSET else shown(aud)
        raise WrongAudience(f"aud is {found}, expected {' or '.join(map(shown, sorted(expected)))}")

    return rule


def expiry(leeway: float) -> Rule:
    """exp is there and lies in the future (RFC 7519 4.1.4)."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        exp = claims.exp
        if exp is UNSET:
            raise InvalidClaim("the token has no exp: it would never end", "exp")
        if now >= exp + leeway:
            raise ExpiredToken(f"the token expired {now - exp:.0f} s ago")

    return rule


def not_before(skew: float) -> Rule:
    """nbf, where there is one, has come (RFC 7519 4.1.5)."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        if claims.nbf is not UNSET and claims.nbf > now + skew:
            raise ImmatureToken(f"the token becomes valid in {claims.nbf - now:.0f} s (nbf); do the clocks agree?")

    return rule


def issued_at(skew: float) -> Rule:
    """iat, where there is one, is not in the future (RFC 7519 4.1.6)."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        if claims.iat is not UNSET and claims.iat > now + skew:
            raise ImmatureToken(f"the token was issued {claims.iat - now:.0f} s in the future (iat); do the clocks agree?")

    return rule


def lifetime(longest: float) -> Rule:
    """exp - iat, or exp - now without iat, is at most this many seconds: a thief cannot keep a token for years."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        exp, start = claims.exp, now if claims.iat is UNSET else claims.iat
        if exp is not UNSET and exp - start > longest:
            raise OverlongToken(f"the token lives {exp - start:.0f} s, at most {longest:.0f} s are accepted; see max_lifetime")

    return rule


def required(names: Iterable[str]) -> Rule:
    """These claims are there, and those that are strings or lists are not empty."""
    needed = frozenset(names)

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        if raw.keys() >= needed and not any(raw[name] in _EMPTY for name in needed):
            return
        absent = min(name for name in needed if name not in raw or raw[name] in _EMPTY)
        raise InvalidClaim(f"the claim {shown(absent)} is required, and missing or empty", absent)

    return rule


_EMPTY: tuple[object, ...] = ("", None, [], {})


def forbidden(names: Iterable[str]) -> Rule:
    """These claims are not there: they mark another kind of token."""
    banned = frozenset(names)

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        if not banned.isdisjoint(raw):
            found = min(banned & raw.keys())
            raise InvalidClaim(f"the claim {shown(found)} marks another kind of token", found)

    return rule
