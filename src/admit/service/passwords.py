"""Passwords: Argon2id, a bounded number at once, and the same work whether a user exists or not."""

from __future__ import annotations

import os
import unicodedata
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from admit.errors import InvalidRequest, TooManyRequests

# OWASP's Password Storage Cheat Sheet: Argon2id, m = 19 MiB, t = 2, p = 1.
_MEMORY_KIB: Final = 19456
_PASSES: Final = 2
_LANES: Final = 1
SHORTEST: Final = 8  # characters, NIST SP 800-63B 5.1.1.2
LONGEST: Final = 1024  # bytes: enough for any passphrase, too few to make hashing slow
_WAIT: Final = 5.0  # seconds in the queue for a hash, before 429
# Of 256 random bits that nobody kept: checked for users who do not exist, so that they take as long as those who do.
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$SVnJ4LaRLJ3uVLZNZZ1bXg$TO/sf0t2eJNREJ1t9zliuWgnMPiWJ7y5EMTK0KrjDBE"


class Passwords:
    """Hashes and checks passwords, at most one for each processor at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        # By process: a fork copies a semaphore with whatever its parent's threads held.
        self._places: dict[int, BoundedSemaphore] = {}

    def hash(self, password: str) -> str:
        """The hash to store. Raises InvalidRequest for a password too short or with control characters."""
        prepared = _prepared(password)
        if prepared is None or len(prepared.decode()) < SHORTEST:
            raise InvalidRequest(
                f"a password has at least {SHORTEST} characters, at most {LONGEST} bytes, no control characters"
            )
        with self._place():
            return self._hasher.hash(prepared)

    def check(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; None stands for nobody, takes as long, and is never right."""
        prepared = _prepared(password)
        right = False
        with self._place():
            try:
                right = self._hasher.verify(stored or _NOBODY, prepared or b"\0")
            except (VerificationError, InvalidHashError):
                return False
        return right and stored is not None and prepared is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _place(self) -> _Place:
        return _Place(self._places.setdefault(os.getpid(), BoundedSemaphore(max(1, os.cpu_count() or 1))))


class _Place:
    def __init__(self, semaphore: BoundedSemaphore) -> None:
        self._semaphore = semaphore

    def __enter__(self) -> None:
        if not self._semaphore.acquire(timeout=_WAIT):
            raise TooManyRequests("too many passwords are being checked", retry_after=2)

    def __exit__(self, *_: object) -> None:
        self._semaphore.release()


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
