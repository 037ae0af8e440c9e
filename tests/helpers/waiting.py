"""Waiting for what other threads and processes do: as short as it may be, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from admit.errors import RevokedToken


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it is true."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.005)


def until_refused(call: Callable[[], object]) -> None:
    """Wait until it raises RevokedToken."""

    def comes() -> bool:
        try:
            call()
        except RevokedToken:
            return True
        return False

    until(comes)
