"""A child of fork, which has none of the threads of its parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def succeeds_in_a_child(action: Callable[[], object]) -> bool:
    """Whether a child of fork gets it done; one that hangs is ended."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
