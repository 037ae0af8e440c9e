"""Passwords: Argon2id, and the same work whether a user exists or not. What other systems hashed, hashes.py checks."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from admit.errors import InvalidRequest
from admit.service import hashes
from admit.service.common_passwords import is_common

if TYPE_CHECKING:
    from admit.service.login_policy import LoginPolicy

_OWN: Final = "$argon2id$"
LONGEST: Final = 1024  # bytes: enough for any passphrase, too few to make hashing slow
# Of 256 random bits that nobody kept: checked for users who do not exist, so that they take as long as those who do.
_NOBODY: Final = "$argon2id$v=19$m={},t={},p={}$SVnJ4LaRLJ3uVLZNZZ1bXg$TO/sf0t2eJNREJ1t9zliuWgnMPiWJ7y5EMTK0KrjDBE"


class Passwords:
    """Hashes and checks passwords. How many at once, the caller bounds (turns.py)."""

    def __init__(self, policy: LoginPolicy) -> None:
        costs = policy.argon2_memory, policy.argon2_passes, policy.argon2_lanes
        self._shortest = policy.password_length
        self._hasher = PasswordHasher(memory_cost=costs[0], time_cost=costs[1], parallelism=costs[2])
        self.nobody = _NOBODY.format(*costs)

    def must_be_good(self, password: str, name: str | None) -> None:
        """Raise InvalidRequest for a new password of that user which is too short, too long, or easily guessed.

        By length and by a list of what is common, not by kinds of characters (NIST SP 800-63B-4 3.1.1.2).
        """
        prepared = _prepared(password)
        if prepared is None or len(prepared.decode()) < self._shortest:
            raise InvalidRequest(
                f"a password has at least {self._shortest} characters, at most {LONGEST} bytes, no control characters"
            )
        if is_common(prepared.decode(), name):
            raise InvalidRequest("that password is among the first that anybody would try; choose another")

    def hash(self, password: str) -> str:
        """The hash to store. Raises InvalidRequest for what cannot be a password."""
        prepared = _prepared(password)
        if prepared is None:
            raise InvalidRequest(f"a password has 1 to {LONGEST} bytes and no control characters")
        return self._hasher.hash(prepared)

    def check(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; None stands for nobody, takes as long, and is never right."""
        if stored is not None and not stored.startswith(_OWN):
            return hashes.check(stored, password)
        prepared = _prepared(password)
        try:
            right = self._hasher.verify(stored or self.nobody, prepared or b"\0")
        except (VerificationError, InvalidHashError):
            return False
        return right and stored is not None and prepared is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's, or by another system."""
        return not stored.startswith(_OWN) or self._hasher.check_needs_rehash(stored)


def same(one: str, other: str) -> bool:
    """Whether both are one password, however they are written (RFC 8265 4.2)."""
    return one == other or (_prepared(one) is not None and _prepared(one) == _prepared(other))


def _prepared(password: str) -> bytes | None:
    """The password as bytes (RFC 8265 4.2, OpaqueString), or None for what cannot be one."""
    if not isinstance(password, str) or not 0 < len(password) <= LONGEST:
        return None
    text = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in text):
        return None
    data = text.encode()
    return data if len(data) <= LONGEST else None
