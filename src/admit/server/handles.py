"""Handles: how many files and connections the system lets this process open, and what of the settings fits under that."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Final

from admit.server.connections import ROOM

_OWN: Final = 192  # handles that are no client's: SQLite has up to 48 connections of two, PostgreSQL 20
_OTHERS: Final = 1024  # requests in flight beside the followers: more than a process answers in a second
_LEAST: Final = 32

log = logging.getLogger("admit.server")


def raise_limit() -> int:
    """How many handles this process may have, once its soft limit is raised to the hard one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS: a hard limit of infinity is none that may be asked for
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def share(handles: int, followers: int) -> tuple[int, int]:
    """(connections with a request in flight, followers among them) that fit, with a warning where not all followers do."""
    most = max(_LEAST, min(followers + _OTHERS, handles - _OWN - ROOM))
    fitting = min(followers, most * 3 // 4)
    if fitting < followers:
        log.warning(
            "%d followers do not fit into the %d files that this process may open: %d may wait; raise LimitNOFILE or ulimit -n",
            *(followers, handles, fitting),
        )
    return most, fitting
