"""The validation rules, one function each. A function takes the expectation and gives the prepared rule.

A rule is called with (registered claims, all claims, now in seconds) and raises an InvalidToken, or says nothing.
The signature was verified before; nothing here decides whom to believe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import itemgetter
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


def audience(expected: frozenset[str], name: str = "aud") -> Rule:
    """aud is one of these strings, or a list that holds one (RFC 7519 4.1.3). name: the claim it was read from."""

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        aud = claims.aud
        if aud in expected if type(aud) is str else aud is not UNSET and not expected.isdisjoint(aud):
            return
        found = "missing" if aud is UNSET else shown(aud)
        raise WrongAudience(f"{name} is {found}, expected {' or '.join(map(shown, sorted(expected)))}")

    return rule


def times(leeway: float, skew: float, longest: float) -> Rule:
    """exp is there and ahead; nbf and iat are not; and the whole is no longer than `longest` (RFC 7519 4.1.4 to 4.1.6).

    All in seconds. leeway: how long after exp a token still passes. skew: by how much nbf and iat may lie ahead. Without
    iat the life is counted from now, so that leaving it out gains a thief nothing.
    """

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        exp, iat, nbf = claims.exp, claims.iat, claims.nbf
        if exp is UNSET:
            raise InvalidClaim("the token has no exp: it would never end", "exp")
        if not now < exp + leeway:  # a clock that answers NaN refuses
            allowed = f", and leeway is {leeway:.0f} s" if leeway else ""
            raise ExpiredToken(f"the token expired {now - exp:.0f} s ago{allowed}")
        latest = now + skew
        if iat is UNSET:
            iat = now
        elif not iat <= latest:
            raise ImmatureToken(f"the token was issued {iat - now:.0f} s in the future (iat); {_clocks(skew)}")
        if nbf is not UNSET and not nbf <= latest:
            raise ImmatureToken(f"the token becomes valid in {nbf - now:.0f} s (nbf); {_clocks(skew)}")
        if exp - iat > longest:
            raise OverlongToken(
                f"the token lives {exp - iat:.0f} s, at most {longest:.0f} s are accepted; see max_lifetime"
            )

    return rule


def _clocks(skew: float) -> str:
    return f"a skew of {skew:.0f} s is accepted, so set the clocks, of the issuer or here"


def required(names: Iterable[str]) -> Rule:
    """These claims are there, and those that are strings or lists are not empty."""
    needed = tuple(sorted(names))
    values_of = itemgetter(needed[0], *needed)  # a tuple, also for one name

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        try:
            if all(values_of(raw)):
                return
        except KeyError:
            pass
        for name in needed:
            if name not in raw or raw[name] in _EMPTY:
                raise InvalidClaim(f"the claim {shown(name)} is required, and missing or empty", name)

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


def marked(marks: Iterable[tuple[str, str]]) -> Rule:
    """These claims are there as strings, and each matches its regular expression as a whole."""
    patterns = tuple((name, re.compile(pattern)) for name, pattern in marks)

    def rule(claims: Registered, raw: dict[str, Any], now: float) -> None:  # noqa: ARG001
        for name, pattern in patterns:
            value = raw.get(name)
            if type(value) is not str or pattern.fullmatch(value) is None:
                found = "missing" if name not in raw else shown(value)
                raise InvalidClaim(
                    f"{shown(name)} is {found}, expected {pattern.pattern}: this is another kind of token", name
                )

    return rule
