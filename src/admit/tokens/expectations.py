"""What a Verifier expects, out of its arguments: prepared rules, or a ConfigurationError where something stays unchecked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from admit.errors import ConfigurationError, shown
from admit.jose.keyset import KeySet
from admit.tokens import presets, rules
from admit.tokens.arguments import Unchecked, duration, names, strings
from admit.tokens.kinds import PLAIN, Kind

MAX_LEEWAY: Final = timedelta(seconds=60)
MAX_LIFETIME: Final = timedelta(hours=24)


def times(kind: Kind, leeway: object, skew: object, max_lifetime: object) -> rules.Rule:
    """The rule of exp, nbf and iat. Raises ConfigurationError where it would hardly be one."""
    late, ahead = duration(leeway, "leeway"), duration(skew, "skew")
    if late > MAX_LEEWAY and not isinstance(leeway, Unchecked):
        raise ConfigurationError("leeway is between 0 and 60 s; further only as leeway=Unchecked(timedelta(...))")
    if ahead > MAX_LEEWAY or isinstance(skew, Unchecked):
        raise ConfigurationError("skew is between 0 and 60 s, never Unchecked: set the clocks instead")
    longest = kind.max_lifetime if max_lifetime is None else duration(max_lifetime, "max_lifetime")
    if not longest:
        raise ConfigurationError("max_lifetime must be positive: say how long is too long")
    if longest > max(MAX_LIFETIME, kind.max_lifetime) and not isinstance(max_lifetime, Unchecked):
        # A stolen token is good for as long as it lives, and what was revoked is remembered for about as long.
        raise ConfigurationError("max_lifetime is at most 24 h; further only as max_lifetime=Unchecked(timedelta(...))")
    return rules.times(late.total_seconds(), ahead.total_seconds(), longest.total_seconds())


def prepared(
    kind: Kind,
    issuers: frozenset[str],
    audience: str | Sequence[str] | Unchecked[str],
    judged_times: rules.Rule,
    required: Iterable[str],
) -> Iterable[rules.Rule]:
    """The rules of a verifier, in order. issuers: none where that is Unchecked. Raises ConfigurationError."""
    needed = (kind.required | frozenset(names(required, "required", "('tenant',)"))) - {
        "exp"
    }  # the rules of exp, iss and aud require theirs already
    if issuers:
        yield rules.issuer(issuers)
        needed -= {"iss"}
    if not isinstance(audience, Unchecked):
        audiences = strings(audience, "audience")
        kind.check_audience(issuers, audiences)
        yield rules.audience(audiences, kind.place("aud"))
        needed -= {kind.place("aud")}
    yield judged_times
    if needed:
        yield rules.required(needed)
    if kind.forbidden:
        yield rules.forbidden(kind.forbidden)
    if kind.marks:
        yield rules.marked(kind.marks)


def check_keys(keys: KeySet, kind: Kind) -> None:
    """Raise ConfigurationError where no key of a fixed set could ever verify such a token."""
    if any(key.algorithm.use != "sig" for key in keys):
        raise ConfigurationError(
            "these keys are for encryption: what is signed and then encrypted, NestedVerifier reads"
        )
    fitting = [key for key in keys if not kind.algorithms or key.algorithm.name in kind.algorithms]
    if not fitting:
        raise ConfigurationError(
            f"kind {kind.name!r} is signed with {' or '.join(kind.algorithms)}, and no key is for that"
        )
    if not any(key.key_ops is None or "verify" in key.key_ops for key in fitting):
        raise ConfigurationError("none of these keys may verify (key_ops)")


def other_type(kind: Kind, typ: str | None) -> str:
    """What is said of a typ that is another kind's, with the options that would accept it."""
    offered = presets.accepting(typ)
    own = "kind=PLAIN for tokens of your own, " if typ is not None and PLAIN.accepts(typ) else ""
    known = f"{own}kind={offered} where the issuer is one of those, or " if offered else own
    return (
        f"typ is {shown(typ)}, and kind {kind.name!r} expects {kind.typ!r}; if this issuer's tokens say so, pass"
        f" {known}a Kind whose other_types holds {shown(typ)}"
    )
