"""LoginPolicy: what a password is, what hashing it costs, and what guessing costs, as one frozen value."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from datetime import timedelta

from admit.errors import ConfigurationError
from admit.service.session_policy import must_be_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPolicy:
    """Limits of logins. Raises ConfigurationError for what would be no limit."""

    password_length: int = 15
    """Characters at least: 15 where a password is all there is, 8 beside a second factor (NIST SP 800-63B-4 3.1.1.2)."""
    argon2_memory: int = 19456
    """KiB for each hash. OWASP's Password Storage Cheat Sheet: Argon2id with 19 MiB, two passes, one lane."""
    argon2_passes: int = 2
    argon2_lanes: int = 1
    password_hashes: int = 0
    """Passwords hashed at once in one process; 0 for one less than there are cores, so that one is left for the rest."""
    password_queue: int = 64
    """Logins that may wait for it, in each of three lanes (turns.py); beyond, 503 with Retry-After."""
    password_wait: timedelta = timedelta(seconds=5)
    """How long they wait."""
    failures_per_user: int = 10
    """Wrong passwords for one user from one address that cost nothing yet; from then on the wait doubles."""
    failures_per_address: int = 50
    """The same, for one address and all users together."""
    failures_everywhere: int = 30
    """The same, for one user and all addresses; from then on an address the user never logged in from waits before its next."""
    longest_wait: timedelta = timedelta(minutes=15)
    """The longest wait that failures lead to."""

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            must_be_duration(name, getattr(self, name))
            if getattr(self, name) < timedelta(seconds=1):
                raise ConfigurationError(f"{name} is at least a second")
        for name, (least, most) in _NUMBERS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigurationError(f"{name} is a whole number from {least} to {most}")
        # RFC 9106 3.1; OWASP's weaker profiles (m = 7 MiB, t = 5) are the floor of what still costs an attacker enough.
        if self.argon2_memory * self.argon2_passes < _LEAST_WORK or self.argon2_memory < 8 * self.argon2_lanes:
            raise ConfigurationError(
                f"argon2_memory (KiB) times argon2_passes is at least {_LEAST_WORK}: weaker hashes are guessed too fast"
            )

    @property
    def places(self) -> int:
        """Passwords hashed at once in one process."""
        return self.password_hashes or max(1, _cores() - 1)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


_LEAST_WORK = 7168 * 5  # KiB times passes
_DURATIONS = ("password_wait", "longest_wait")
_NUMBERS = {
    "password_length": (8, 64),  # NIST SP 800-63B-4 3.1.1.2: never below 8; and 64 must be possible
    "argon2_memory": (7168, 4 * 1024 * 1024),
    "argon2_passes": (1, 64),
    "argon2_lanes": (1, 64),
    "password_hashes": (0, 1024),
    "password_queue": (1, 4096),
    "failures_per_user": (1, 100),  # NIST SP 800-63B-4 3.2.2: never more than 100
    "failures_per_address": (1, 100_000),
    "failures_everywhere": (1, 100_000),
}
LOGIN = tuple(field.name for field in fields(LoginPolicy))
"""The names of its fields, each of which is a setting of `jwt serve`."""
LOGIN_DURATIONS = frozenset(_DURATIONS)
