"""What runs on the event loop: it reads memory, and whatever would wait for the database is for a thread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from admit.tokens.waiting import may_wait

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def memory_only() -> Iterator[None]:
    """Within, whoever would have to wait raises WouldWait instead."""
    before = may_wait.set(False)
    try:
        yield
    finally:
        may_wait.reset(before)
