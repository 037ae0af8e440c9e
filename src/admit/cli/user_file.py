"""A file of users with their password hashes, line by line: JSON lines, or CSV with a first line of names."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Final

import click

from admit.cli.exits import Stop
from admit.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = ("name", "username")
_HASH: Final = ("password_hash", "password")
_LONG: Final = 256 * 1024  # bytes, from which a bar is worth it
_LINE: Final = 8192  # characters of a line, at most


def with_progress(path: Path) -> Iterator[tuple[int, object]]:
    """Each line's number and what it holds; with a bar at a terminal where the file is long. Raises Stop."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            size = path.stat().st_size
            shown = size >= _LONG and sys.stderr.isatty()
            with click.progressbar(length=size, label="users", file=sys.stderr, hidden=not shown) as bar:
                yield from _rows(file, bar.update)
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise Stop(f"{path} is not UTF-8") from None


def row_of(row: object) -> tuple[str, str]:
    """The name and the hash. Raises InvalidRequest."""
    if not isinstance(row, dict):
        raise InvalidRequest("not a JSON object")
    name, stored = (next((row[key] for key in keys if row.get(key)), None) for keys in (_NAME, _HASH))
    if not isinstance(name, str) or not isinstance(stored, str):
        raise InvalidRequest("no name, or no password_hash")
    return name, stored


def _rows(file: IO[str], read: Callable[[int], object]) -> Iterator[tuple[int, object]]:
    lines = enumerate(_counted(file, read), 1)
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if first.lstrip().startswith("{"):
        yield number, _parsed(first)
        yield from ((number, _parsed(line)) for number, line in lines if line.strip())
    else:
        names = next(csv.reader([first]), [])
        if not set(names) & set(_NAME) or not set(names) & set(_HASH):
            raise Stop(f"{file.name} holds neither JSON objects nor CSV whose first line has name and password_hash")
        yield from (
            (number, dict(zip(names, next(csv.reader([line])), strict=False))) for number, line in lines if line.strip()
        )


def _counted(file: Iterable[str], read: Callable[[int], object]) -> Iterator[str]:
    for line in file:
        read(len(line.encode()))
        yield line if len(line) <= _LINE else "too long"


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
