"""Policy: the service's lifetimes and windows, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from admit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Lifetimes and windows. Raises ConfigurationError where they contradict each other."""

    access_lifetime: timedelta = timedelta(minutes=10)
    """How long an access token lives: 5 to 10 minutes (RFC 9700 2.2 asks for short)."""
    grace: timedelta = timedelta(seconds=10)
    """After a rotation the previous refresh token gets the same successor: parallel requests, impatient retries."""
    retry_window: timedelta = timedelta(minutes=10)
    """The same for a successor that was never presented: its answer was lost."""
    idle: timedelta = timedelta(days=30)
    """A session unused for so long ends."""
    absolute: timedelta = timedelta(days=90)
    """No session lives longer."""
    key_lifetime: timedelta = timedelta(days=30)
    """How long a key signs."""
    key_published: timedelta = timedelta(minutes=15)
    """How long a standby is published before it signs: JWKS max-age (5 minutes), reload, skew, and a margin."""
    key_reload: timedelta = timedelta(seconds=60)
    """A process never signs from a view of the keys older than this."""
    leeway: timedelta = timedelta(seconds=60)
    """The greatest leeway a verifier may give: revocations and retiring keys outlive tokens by it."""
    feed_limit: timedelta = timedelta(minutes=5)
    """In process, a revocation list older than this is RevocationsUnavailable."""
    kept: timedelta = timedelta(days=90)
    """How long the audit trail is kept."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or value < timedelta():
                raise ConfigurationError(f"the policy's {name} must be a timedelta that is not negative")
        if self.access_lifetime < timedelta(seconds=1) or self.access_lifetime > self.absolute:
            raise ConfigurationError("access_lifetime must lie between a second and the session's absolute limit")
        if self.grace > self.retry_window:
            raise ConfigurationError("retry_window must not be shorter than grace: it continues it")
        if self.retry_window >= self.idle or self.idle > self.absolute:
            raise ConfigurationError("retry_window must be shorter than idle, and idle not longer than absolute")


def milliseconds(value: timedelta) -> int:
    """A duration as the integer that rows and pure functions count in."""
    return value // timedelta(milliseconds=1)
