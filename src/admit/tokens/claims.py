"""Claims: the registered claims, the caller's own type under `.extra`, the whole under `.raw` (RFC 7519 4, RFC 9068 2.2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from admit.errors import InvalidClaim
from admit.jose.encoding import json_object, prepare

E = TypeVar("E")

LAST_SECOND = 253_402_300_799  # of the year 9999, the last that a datetime can say
NumericDate = (
    Annotated[int, msgspec.Meta(ge=0, le=LAST_SECOND)] | Annotated[float, msgspec.Meta(ge=0.0, le=float(LAST_SECOND))]
)
"""Seconds since 1970-01-01T00:00:00Z, a JSON number, never a string or a boolean (RFC 7519 2)."""


class Registered(msgspec.Struct, frozen=True, gc=False):
    """The claims whose types are fixed by the standards; nothing is coerced, and null is not absence."""

    iss: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    aud: str | tuple[str, ...] | UnsetType = UNSET
    exp: NumericDate | UnsetType = UNSET
    nbf: NumericDate | UnsetType = UNSET
    iat: NumericDate | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    sid: str | UnsetType = UNSET
    auth_time: NumericDate | UnsetType = UNSET
    epoch: int | UnsetType = UNSET


prepare(Registered)
REGISTERED = frozenset(Registered.__struct_fields__)


def read_registered(raw: dict[str, Any]) -> Registered:
    """The registered claims of a payload. Raises InvalidClaim where one has the wrong type; no value is quoted."""
    try:
        return msgspec.convert(raw, Registered)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).rpartition(" - at ")
        claim = path.strip("`$.").partition("[")[0]
        raise InvalidClaim(f"the claim {claim} has the wrong type: {expected}", claim) from None


class _Noted:
    """Room for a note of RevocationSet's; no field, so that it is never copied, compared or shown."""

    __slots__ = ("_passed",)
    _passed: object


class Claims(_Noted, msgspec.Struct, Generic[E], frozen=True):
    """The claims of a verified token, frozen. Your own claims are in `.extra` (typed) and in `.raw` (everything).

    No claim of a token can collide with an attribute here: they are never attributes of their own.
    """

    registered: Registered
    extra: E
    """The claims as the type given to the Verifier as `extra=`; None without one."""
    kid: str
    """The kid of the key that signed the token."""
    payload: bytes
    """The payload's JSON, as it was signed."""

    @property
    def raw(self) -> dict[str, Any]:
        """All claims, read anew each time: changing the result changes nothing for anybody else."""
        return json_object(self.payload)

    @property
    def iss(self) -> str | None:
        """The issuer (RFC 7519 4.1.1)."""
        return self.registered.iss or None

    @property
    def sub(self) -> str:
        """The subject (RFC 7519 4.1.2). Raises InvalidClaim where there is none; kinds such as `access` require one."""
        if not self.registered.sub:
            raise InvalidClaim("the token has no sub", "sub")
        return self.registered.sub

    @property
    def aud(self) -> tuple[str, ...]:
        """The audiences, none, one or several (RFC 7519 4.1.3)."""
        aud = self.registered.aud
        return () if aud is UNSET else (aud,) if isinstance(aud, str) else aud

    @property
    def exp(self) -> float:
        """When the token expires, in seconds since 1970; every verified token has it (RFC 7519 4.1.4)."""
        return _number(self.registered.exp) or 0

    @property
    def nbf(self) -> float | None:
        """When the token begins to be valid, in seconds since 1970 (RFC 7519 4.1.5)."""
        return _number(self.registered.nbf)

    @property
    def iat(self) -> float | None:
        """When the token was issued, in seconds since 1970 (RFC 7519 4.1.6)."""
        return _number(self.registered.iat)

    @property
    def jti(self) -> str | None:
        """The token's own id (RFC 7519 4.1.7)."""
        return self.registered.jti or None

    @property
    def client_id(self) -> str | None:
        """The client the token was issued to (RFC 9068 2.2)."""
        return self.registered.client_id or None

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes; empty where none were granted (RFC 6749 3.3)."""
        scope = self.registered.scope
        return frozenset(scope.split(" ")) - {""} if scope else frozenset()

    @property
    def sid(self) -> str | None:
        """The session the token belongs to."""
        return self.registered.sid or None

    @property
    def epoch(self) -> int | None:
        """The subject's epoch at issue: raising it cuts off every token of the subject that carries a lower one."""
        epoch = self.registered.epoch
        return None if epoch is UNSET else epoch

    @property
    def auth_time(self) -> float | None:
        """When the user last logged in, in seconds since 1970 (RFC 9068 2.2.1)."""
        return _number(self.registered.auth_time)

    @property
    def expires_at(self) -> datetime:
        """`exp` as a datetime in UTC."""
        return datetime.fromtimestamp(self.exp, UTC)

    @property
    def issued_at(self) -> datetime | None:
        """`iat` as a datetime in UTC."""
        return None if self.iat is None else datetime.fromtimestamp(self.iat, UTC)

    @property
    def valid_from(self) -> datetime | None:
        """`nbf` as a datetime in UTC."""
        return None if self.nbf is None else datetime.fromtimestamp(self.nbf, UTC)

    @property
    def authenticated_at(self) -> datetime | None:
        """`auth_time` as a datetime in UTC."""
        return None if self.auth_time is None else datetime.fromtimestamp(self.auth_time, UTC)


def _number(value: float | UnsetType) -> float | None:
    return None if value is UNSET else value
