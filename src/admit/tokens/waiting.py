"""Whether a caller may be kept waiting: an event loop may not, a thread may."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from admit.errors import Unavailable

may_wait: Final[ContextVar[bool]] = ContextVar("admit_may_wait", default=True)
"""Set to False around `verify` on an event loop; a source of keys or revocations then raises WouldWait instead of fetching."""


class WouldWait(Unavailable):
    """Something has to be fetched first, and the caller may not wait: verify again in a worker thread."""
