"""ProcessLock: a lock for each process."""

from __future__ import annotations

import os
from threading import Lock
from typing import Final


class ProcessLock:
    """A lock that a child of fork finds free: it may be held there by a thread that the child does not have."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: Final = dict[int, Lock]()  # by process id

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, *, blocking: bool = True) -> bool:
        """As a Lock's."""
        return self._locks.setdefault(os.getpid(), Lock()).acquire(blocking)

    def release(self) -> None:
        """As a Lock's."""
        self._locks[os.getpid()].release()
