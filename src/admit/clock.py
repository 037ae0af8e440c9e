"""The only reader of time and of randomness. Everything else is given `now`, a `Clock`, or calls these names."""

from __future__ import annotations

import os
import time
from binascii import b2a_base64
from collections.abc import Callable

Clock = Callable[[], float]
"""Answers the seconds since 1970-01-01T00:00:00Z, as `time.time` does (RFC 7519 2, NumericDate)."""

system_clock: Clock = time.time
monotonic: Clock = time.monotonic

_TO_URL = bytes.maketrans(b"+/", b"-_")


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator."""
    return os.urandom(count)


def random_id() -> str:
    """A fresh identifier: 144 random bits as 24 characters of base64url (RFC 7519 4.1.7 asks for no collisions)."""
    return b2a_base64(os.urandom(18), newline=False).translate(_TO_URL).decode("ascii")


def jitter() -> float:
    """A number in [0, 1) that spreads simultaneous work; never a secret."""
    return int.from_bytes(os.urandom(6)) / (1 << 48)
