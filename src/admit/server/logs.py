"""Logs as text or as one JSON object a line, each with the id of the request it belongs to.

An exception's own message is never written: a library's may quote a token or a password. Its type and the lines it passed
through are.
"""

from __future__ import annotations

import logging
import re
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Final

from admit.clock import monotonic
from admit.jose.encoding import json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Seen:
    """What is known of the request at hand. `route` is a row of our own table: a path itself may hold a secret."""

    id: str
    route: str = "-"
    address: str = "-"
    trace: str = ""


request: Final[ContextVar[Seen | None]] = ContextVar("admit_request", default=None)
"""The request that this task, or the worker thread that it waits for, works on."""


class Text(logging.Formatter):
    """`WARNING admit.server [request id]: message`."""

    def format(self, record: logging.LogRecord) -> str:
        seen = request.get()
        head = f"{record.levelname} {record.name}{f' [{seen.id}]' if seen else ''}: {record.getMessage()}"
        return "\n".join([head, *_raised(record)])


class Json(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, request_id, trace_id; and what a line adds in `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        seen = request.get()
        fields: Mapping[str, object] = getattr(record, "fields", {})
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": seen.id} if seen else {}),
            **({"trace_id": seen.trace} if seen and seen.trace else {}),
            **fields,
        }
        if raised := _raised(record):
            line["raised"] = raised
        return json_bytes(line).decode()


AGAIN: Final = 60.0
"""Seconds between two lines that strangers cause."""
_LINES: Final = 256  # that are kept
_OWN: Final = "admit.server"
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")
FORMATS: Final[dict[str, type[logging.Formatter]]] = {"text": Text, "json": Json}


def seldom(line: str) -> dict[str, str]:
    """`extra` of a warning or error that strangers cause. line: which one it is; never their own words, for it is kept."""
    return {"seldom": line}


class Seldom(logging.Filter):
    """Lets what strangers cause through once a minute: the service's own that are `seldom`, uvicorn's and asyncio's all.

    Between, its own are of level INFO, where each request has a line anyway.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        line = getattr(record, "seldom", None)
        if line is not None:
            if self._is_due(line):
                return True
            record.levelno, record.levelname = logging.INFO, "INFO"
            return logging.getLogger(record.name).isEnabledFor(logging.INFO)
        if record.levelno < logging.WARNING or record.name == _OWN:
            return True
        said, _, _ = str(record.msg).partition("\n")  # below, asyncio has what differs
        return self._is_due(f"{_ADDRESS.sub('', said)} {_raised_at(record)}")

    def _is_due(self, line: str) -> bool:
        now = monotonic()
        if now - self._said.get(line, -inf) < AGAIN:
            return False
        if len(self._said) >= _LINES:
            self._said.clear()
        self._said[line] = now
        return True


def configure(level: str, form: str) -> None:
    """Let this process log to stderr. Whatever logged there before, no longer does."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATS[form]())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in (_OWN, "uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(Seldom())


def _raised_at(record: logging.LogRecord) -> str:
    """The type of what was raised, and the line; "" where nothing was."""
    if not record.exc_info:
        return ""
    kind, _, where = record.exc_info
    lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(where)]
    return " ".join([str(kind), *lines[-1:]])


def _raised(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    kind, _, where = record.exc_info
    lines = "".join(traceback.format_tb(where)).splitlines()
    return [f"{kind.__module__}.{kind.__qualname__}", *lines]
