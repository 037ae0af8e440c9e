"""A fork at the worst moment: while another thread of the parent holds a lock."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager


def forked_while_held(lock: AbstractContextManager[object], work: Callable[[], object]) -> int:
    """The exit code of a child that does `work`, within 5 s: 0, or whatever ended it."""
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        go_on.set()
        thread.join(10)
