"""The sorts of settings: how a value is read from a flag, the environment or TOML, how it is written, and what it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from admit.service.clients import SCOPE
from admit.tokens.durations import EXPECTED, read_duration, written_duration


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of settings. read: raises TypeError, ValueError or OverflowError for what is none of it."""

    read: Callable[[object], Any]
    expected: str
    """What a value is, as an error says it."""
    metavar: str = "TEXT"
    """What it is, as the help says it."""
    write: Callable[[Any], object] = lambda value: value
    """A value as TOML's types say it, so that it is read as the same."""
    several: bool = False
    """Whether it holds several values: a flag given again, or separated by commas."""


def read_lasting(value: object) -> timedelta:
    """A length of time: a text with units, or seconds as a number. Raises TypeError, ValueError, OverflowError."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool):
        raise TypeError
    text = str(value)
    return read_duration(f"{text}s" if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text) else text)


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: object) -> Path:
    path = _path_or_none(value)
    if path is None:
        raise ValueError
    return path


def _path_or_none(value: object) -> Path | None:
    if isinstance(value, Path):
        return value
    return Path(text).expanduser() if (text := _text(value)) else None


def _list(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise TypeError
    return tuple(_text(part).strip() for part in parts if part)


def _scopes(value: object) -> tuple[str, ...]:
    scopes = _list(value)
    if not all(SCOPE.fullmatch(scope) for scope in scopes):
        raise ValueError
    return scopes


_SEVERAL: Final = ", several with commas between them"

TEXT: Final = Sort(_text, "a text")
NUMBER: Final = Sort(_number, "a whole number", "NUMBER")
DURATION: Final = Sort(read_lasting, EXPECTED, "TIME", written_duration)
PATH: Final = Sort(_path, "the path of a file or folder", "PATH", str)
OPTIONAL_PATH: Final = Sort(_path_or_none, PATH.expected, "PATH", lambda path: "" if path is None else str(path))
LIST: Final = Sort(_list, f"a text{_SEVERAL}", "TEXT", list, several=True)
SCOPES: Final = Sort(
    _scopes,
    f"printable ASCII without spaces, quotes or backslashes (RFC 6749 3.3){_SEVERAL}",
    "SCOPE",
    list,
    several=True,
)
