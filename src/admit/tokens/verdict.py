"""All that is wrong with one token, for those who ask why. A Verifier stops at the first thing, and its word counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from admit.errors import InvalidClaim, InvalidKey, InvalidToken, UnknownKey, WrongAudience, WrongIssuer
from admit.jose import jws
from admit.jose.encoding import json_object
from admit.tokens.claims import Registered, read_registered

if TYPE_CHECKING:
    from admit.jose.keyset import KeySet
    from admit.tokens.rules import Rule
    from admit.tokens.verifier import Verifier

_ABOUT: Final[dict[type[InvalidToken], str]] = {WrongIssuer: "iss", WrongAudience: "aud"}


def failures(verifier: Verifier[Any], token: str, keys: KeySet, now: float) -> tuple[InvalidToken, ...]:
    """Why `verifier` refuses a token, in the order of verification; empty where it accepts it.

    keys: the verifier's own. now: seconds since 1970, what the verifier's clock says. Where the token's shape, key or
    signature fails, that comes alone: what the claims say is then nobody's word (RFC 7519 7.2).
    """
    try:
        verifier.verify(token)
    except InvalidToken as error:
        first = error
    else:
        return ()
    try:
        raw = json_object(jws.verify(token, keys).payload)
    except InvalidToken as error:
        return (error,)
    except InvalidKey as error:
        return (UnknownKey(str(error)),)
    found: list[InvalidToken] = []
    registered = _registered(verifier.kind.registered(raw), found)
    unreadable = {_about(error) for error in found}
    for rule in verifier.rules:
        found += [error for error in _broken(rule, registered, raw, now) if _about(error) not in unreadable]
    if not any(type(error) is type(first) and error.args == first.args for error in found):
        found.insert(0, first)  # what no rule says: typ, the caller's own claims type, revocation
    return tuple(found)


def _registered(raw: dict[str, Any], found: list[InvalidToken]) -> Registered:
    """The registered claims. Those of the wrong type go into `found` and are left out, so that the rest is judged."""
    readable = dict(raw)
    while True:
        try:
            return read_registered(readable)
        except InvalidClaim as error:
            found.append(error)
            if error.claim not in readable:
                return Registered()
            del readable[error.claim]


def _broken(rule: Rule, registered: Registered, raw: dict[str, Any], now: float) -> list[InvalidToken]:
    """What one rule finds. One that asks for several claims is asked again as if the missing one were there."""
    found: list[InvalidToken] = []
    while True:
        try:
            rule(registered, raw, now)
        except InvalidToken as error:
            if _about(error) in map(_about, found):
                return found
            found.append(error)
            if not isinstance(error, InvalidClaim):
                return found
            raw = raw | {error.claim: True}
        else:
            return found


def _about(error: InvalidToken) -> str:
    return error.claim if isinstance(error, InvalidClaim) else _ABOUT.get(type(error), "")
