"""Session policy: how a client's sessions refresh and end, and profiles of it that others recommend."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, Final

from admit.errors import ConfigurationError

SESSION, USER = "session", "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """How sessions refresh and end. Raises ConfigurationError where the durations contradict each other."""

    rotate: bool = True
    """Whether a refresh brings a new refresh token. Only confidential clients may do without (RFC 9700 2.2.2)."""
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

    def __post_init__(self) -> None:
        if not isinstance(self.rotate, bool):
            raise ConfigurationError("rotate is True or False")
        if self.reuse not in (SESSION, USER):
            raise ConfigurationError(
                f"reuse is {SESSION!r} or {USER!r}: what ends when an old refresh token comes back"
            )
        for name in _DURATIONS:
            must_be_duration(name, getattr(self, name))
        if self.grace > self.retry_window:
            raise ConfigurationError("retry_window must not be shorter than grace: it continues it")
        if self.retry_window >= self.idle or self.idle > self.absolute:
            raise ConfigurationError("retry_window must be shorter than idle, and idle not longer than absolute")

    def dump(self) -> str:
        """As a client's row holds it: JSON, with durations in milliseconds."""
        return json.dumps(
            {name: milliseconds(value) if name in _DURATIONS else value for name, value in asdict(self).items()}
        )

    @classmethod
    def load(cls, text: str) -> SessionPolicy:
        """What `dump` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**values | {name: timedelta(milliseconds=values[name]) for name in _DURATIONS})


def milliseconds(value: timedelta) -> int:
    """A duration as the integer that rows and pure functions count in."""
    return value // timedelta(milliseconds=1)


def must_be_duration(name: str, value: object) -> None:
    """Raise ConfigurationError for what is no duration."""
    if not isinstance(value, timedelta) or value < timedelta():
        raise ConfigurationError(f"the policy's {name} must be a timedelta that is not negative")


_DURATIONS: Final = frozenset(field.name for field in fields(SessionPolicy) if field.name not in ("rotate", "reuse"))

_ONCE: Final = timedelta()

PROFILES: Final[dict[str, SessionPolicy]] = {
    # NIST SP 800-63B-4 2.1.3: log in again after 30 days at the latest; no limit on inactivity
    "nist-aal1": SessionPolicy(idle=timedelta(days=30), absolute=timedelta(days=30)),
    # NIST SP 800-63B-4 2.2.3: after 24 hours, or an hour of inactivity
    "nist-aal2": SessionPolicy(idle=timedelta(hours=1), absolute=timedelta(hours=24)),
    # OWASP, Session Management Cheat Sheet, "Session Expiration": low risk, 15 to 30 minutes idle; an office day
    "owasp": SessionPolicy(idle=timedelta(minutes=30), absolute=timedelta(hours=8)),
    # the same, for what is worth a theft: 2 to 5 minutes idle, 4 hours at most
    "owasp-high-value": SessionPolicy(
        idle=timedelta(minutes=5), absolute=timedelta(hours=4), retry_window=timedelta(minutes=1), reuse=USER
    ),
    # RFC 9700 4.14.2 to the letter: a refresh token is good once. A lost answer then costs the session.
    "rfc9700": SessionPolicy(grace=_ONCE, retry_window=_ONCE),
}
"""Policies by name, with where their figures come from."""
