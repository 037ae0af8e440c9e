"""Signer: claims -> token (RFC 7519 7.1, RFC 9068 2.2). Header and checks are prepared once; a token costs its claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from admit import clock as clocks
from admit.clock import Clock, system_clock
from admit.errors import ConfigurationError, InvalidClaim, RefusedClaims, UnsupportedAlgorithm, shown
from admit.jose import header as headers
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import MAX_TOKEN, b64url_encode, json_bytes, must_be_bytes_allowed
from admit.jose.keys import Key
from admit.tokens.arguments import (
    duration,
    must_be_a_clock,
    must_be_a_kind,
    must_be_a_type,
    names,
)
from admit.tokens.claims import LAST_SECOND, REGISTERED, read_registered
from admit.tokens.kinds import ACCESS, Kind
from admit.tokens.lint import refuse_secret_fields, refuse_secrets


class SigningBackend(Protocol):
    """A private key that lives elsewhere: a KMS or an HSM."""

    @property
    def alg(self) -> str:
        """The JOSE name of its one algorithm."""

    @property
    def kid(self) -> str:
        """Its key id, as published in the JWKS."""

    def sign(self, data: bytes, /) -> bytes:
        """The signature of the signing input, in base64url."""


class Signer:
    """Signs one kind of token with one key, as one issuer.

    key: a private Key, or a SigningBackend. issuer: iss. audience: the aud of tokens that name none themselves.
    lifetime: exp - iat, at most the kind's. jitter: a fraction of lifetime (0 to 0.5) by which each token may end sooner,
    so that clients do not all refresh at once. extra: the type of `claims`, looked at now instead of at every token.
    allow_claims: names that look like secrets and are none. Raises ConfigurationError, RefusedClaims.
    """

    def __init__(
        self,
        key: Key | SigningBackend,
        *,
        issuer: str,
        audience: str | Sequence[str] | None = None,
        lifetime: timedelta = timedelta(minutes=10),
        jitter: float = 0.0,
        kind: Kind = ACCESS,
        extra: type[Any] | None = None,
        allow_claims: Iterable[str] = (),
        max_token: int = MAX_TOKEN,
        clock: Clock = system_clock,
    ) -> None:
        if not isinstance(issuer, str) or not issuer:
            raise ConfigurationError("issuer must be a non-empty string")
        if not callable(getattr(key, "sign", None)) or not isinstance(getattr(key, "alg", None), str):
            raise ConfigurationError(f"key is a private Key or a SigningBackend, not {type(key).__name__}")
        must_be_a_kind(kind)
        if kind.foreign:
            raise ConfigurationError(f"kind {kind.name!r} is of another issuer's tokens, which nobody else signs")
        lifetime = duration(lifetime, "lifetime")
        if not timedelta(seconds=1) <= lifetime <= kind.max_lifetime:
            raise ConfigurationError(
                f"lifetime is at least a second and at most {kind.max_lifetime}, as {kind.name!r} tokens are; for longer ones"
                " sign and verify with a Kind of your own: Kind(name=..., typ=..., max_lifetime=...)"
            )
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter <= 0.5:
            raise ConfigurationError(f"jitter is a fraction between 0 and 0.5, such as 0.1, not {shown(jitter)}")
        must_be_a_type(extra)
        must_be_bytes_allowed(max_token, "max_token")
        must_be_a_clock(clock)
        self.kind, self.issuer, self.kid = kind, issuer, key.kid
        self._audience = None if audience is None else _audience(audience)
        self._lifetime, self._jitter = lifetime.total_seconds(), jitter
        self._extra, self._allowed = extra, frozenset(names(allow_claims, "allow_claims", "('tenant',)"))
        if extra is not None:
            refuse_secret_fields(extra, self._allowed)
        if key.alg not in ALGORITHMS and key.alg != "EdDSA":
            raise UnsupportedAlgorithm(f"no signature algorithm is called {shown(key.alg)}")
        self._prefix = headers.encode(key.alg, key.kid, kind.typ) + b"."
        headers.parse(self._prefix[:-1])
        always = ("iss", "exp", "iat")
        self._needed = itemgetter(*always[:2], *kind.required.difference(always))  # at least two: a tuple
        self._sign = key.sign
        self._max_token, self._clock = max_token, clock

    def sign(
        self,
        *,
        sub: str | None = None,
        client_id: str | None = None,
        audience: str | Sequence[str] | None = None,
        scope: str | Iterable[str] | None = None,
        claims: Mapping[str, object] | object | None = None,
        expires_at: float | None = None,
        jti: str | None = None,
    ) -> str:
        """A token. iss, iat, exp and jti are set by the signer.

        scope: a string, or the scopes. claims: further claims, as a mapping or as the `extra` type. expires_at: seconds
        since 1970, never later than the signer's lifetime allows; an earlier end is for tokens that may not outlive a session.
        Raises RefusedClaims for secrets, names that are the signer's own, and what the kind lacks.
        """
        now = int(self._clock())
        exp = now + int(self._lifetime * (1 - self._jitter * clocks.jitter()) if self._jitter else self._lifetime)
        if expires_at is not None:
            if type(expires_at) not in (int, float) or not abs(expires_at) <= LAST_SECOND:  # which NaN is not
                raise RefusedClaims("expires_at is a number of seconds since 1970")
            exp = min(exp, int(expires_at))
            if exp <= now:
                raise RefusedClaims("expires_at has passed: the token would be born expired")
        payload: dict[str, object] = {"iss": self.issuer}
        if sub is not None:
            payload["sub"] = sub
        aud = self._audience if audience is None else _audience(audience)
        if aud is not None:
            payload["aud"] = aud
        payload["exp"] = exp
        payload["iat"] = now
        payload["jti"] = clocks.random_id() if jti is None else jti
        if client_id is not None:
            payload["client_id"] = client_id
        if scope is not None:
            payload["scope"] = _scope(scope)
        if claims is not None:
            payload |= self._further(claims)
        self._check(payload)
        try:
            signing_input = self._prefix + b64url_encode(json_bytes(payload))
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise RefusedClaims("the claims hold a value that JSON in UTF-8 cannot say") from None
        token = (signing_input + b"." + self._sign(signing_input)).decode("ascii")
        if len(token) > self._max_token:
            raise RefusedClaims(
                f"the token would have {len(token)} bytes, and verifiers read {self._max_token}; carry less"
            )
        return token

    def _further(self, claims: Mapping[str, object] | object) -> Mapping[str, object]:
        if type(claims) is dict:
            further: dict[str, object] = claims
        elif isinstance(claims, Mapping):
            further = dict(claims)
        elif self._extra is not None and isinstance(claims, self._extra):
            further = msgspec.to_builtins(claims)
        else:
            raise RefusedClaims("claims is a mapping, or an instance of the type given to the Signer as extra")
        if not _OWN.isdisjoint(further):
            name = min(_OWN & further.keys())
            raise RefusedClaims(f"the claim {shown(name)} is set by the signer or by an argument of its own")
        refuse_secrets(further, self._allowed)
        return further

    def _check(self, payload: dict[str, object]) -> None:
        try:
            read_registered(payload)  # what a verifier would refuse is not signed
        except InvalidClaim as error:
            raise RefusedClaims(str(error)) from None
        except UnicodeEncodeError:  # a name with a lone surrogate
            raise RefusedClaims("the claims hold a name that JSON in UTF-8 cannot say") from None
        try:
            if all(self._needed(payload)) and (not self.kind.forbidden or self.kind.forbidden.isdisjoint(payload)):
                return
        except KeyError:
            pass
        lacking = sorted(name for name in self.kind.required if not payload.get(name))
        wrong = lacking or sorted(self.kind.forbidden & payload.keys())
        verb = "needs" if lacking else "must not have"
        raise RefusedClaims(f"a token of kind {self.kind.name!r} {verb} {', '.join(map(_told, wrong))}")


_ARGUMENTS = {"aud": "audience=", "sub": "sub=", "client_id": "client_id="}


def _told(name: str) -> str:
    return f"{name} ({_ARGUMENTS[name]})" if name in _ARGUMENTS else name


_OWN = REGISTERED - {"sid", "auth_time", "nbf", "epoch"}  # these four have no argument and come through claims
# RFC 6749 3.3: printable ASCII without quote and backslash; a space inside one scope would make two of it
_ONE_SCOPE = re.compile(r"[!#-\[\]-~]+")
_SCOPES = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


def _audience(value: str | Sequence[str]) -> str | tuple[str, ...]:
    audience = value if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not audience or not all(isinstance(item, str) and item for item in audience):
        raise ConfigurationError("audience is one or several non-empty strings")
    return audience


def _scope(value: str | Iterable[str]) -> str:
    if isinstance(value, str):
        if _SCOPES.fullmatch(value):
            return value
    elif isinstance(value, Iterable):
        scopes = list(value)
        if all(isinstance(scope, str) and _ONE_SCOPE.fullmatch(scope) for scope in scopes):
            return " ".join(scopes)
    raise RefusedClaims("a scope is printable ASCII without spaces, quotes or backslashes (RFC 6749 3.3)")
