"""Policy: the service's lifetimes and windows, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from admit.errors import ConfigurationError
from admit.service.session_policy import SESSION, SessionPolicy, must_be_duration

_MAX_AGE = 300  # seconds; a key that was withdrawn verifies for so long where nobody follows the revocation feed


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
    reuse: str = SESSION
    """What ends when an old refresh token comes back: its `session`, or everything of its `user`."""
    sessions_per_user: int = 100
    """A login beyond so many live sessions ends the user's oldest."""
    key_lifetime: timedelta = timedelta(days=30)
    """How long a key signs."""
    key_published: timedelta = timedelta(minutes=15)
    """How long a standby is published before it signs: JWKS max-age (5 minutes), reload, skew, and a margin for verifiers
    that keep a JWKS longer than they are told."""
    key_reload: timedelta = timedelta(seconds=60)
    """A process never signs from a view of the keys older than this, and never publishes one."""
    clock_skew: timedelta = timedelta(seconds=30)
    """By how much the clocks of any two hosts may differ, the database's among them."""
    leeway: timedelta = timedelta(seconds=60)
    """The greatest leeway a verifier may give: revocations and retiring keys outlive tokens by it."""
    feed_limit: timedelta = timedelta(minutes=5)
    """In process, a revocation list older than this is RevocationsUnavailable."""
    status_list_ttl: timedelta = timedelta(0)
    """How long others may keep a status list before they ask anew; 0: there are none, and tokens carry no status."""
    kept: timedelta = timedelta(days=90)
    """How long the audit trail is kept."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("reuse", "sessions_per_user"):
                must_be_duration(field.name, getattr(self, field.name))
        if not isinstance(self.sessions_per_user, int) or self.sessions_per_user < 1:
            raise ConfigurationError("sessions_per_user is a whole number, at least 1")
        if self.access_lifetime < timedelta(seconds=1) or self.access_lifetime > self.absolute:
            raise ConfigurationError("access_lifetime must lie between a second and the session's absolute limit")
        if self.jwks_max_age < 1:
            raise ConfigurationError(
                "key_published must be longer than key_reload and clock_skew by a second or more: for so long a JWKS is good"
            )
        if self.status_list_ttl and not timedelta(seconds=1) <= self.status_list_ttl <= timedelta(hours=1):
            raise ConfigurationError("status_list_ttl is between a second and an hour, or 0 for no status lists")
        if self.status_list_ttl and self.access_lifetime > timedelta(hours=12):
            raise ConfigurationError("with status lists, access_lifetime is at most 12 hours: their places are reused")
        self.of_sessions()

    @property
    def jwks_max_age(self) -> int:
        """Seconds for which a JWKS may be reused: whoever does so has each key before it signs."""
        return min(_MAX_AGE, int((self.key_published - self.key_reload - self.clock_skew).total_seconds()))

    def of_sessions(self) -> SessionPolicy:
        """What it says of sessions: for the first-party client, and for every client that has no policy of its own."""
        return SessionPolicy(**{name: getattr(self, name) for name in _OF_SESSIONS})


_OF_SESSIONS = tuple(field.name for field in fields(SessionPolicy) if field.name != "rotate")
