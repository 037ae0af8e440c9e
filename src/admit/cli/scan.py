"""Tokens in files and logs: found line by line, in a file of any size, with a progress bar where somebody watches."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from admit.cli.exits import Stop
from admit.cli.files import FILE
from admit.cli.input import read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

# What base64url makes of `{"`, `{ `, `{` and a line end, then two dots, or four. Padding is taken along, to be complained of.
_TOKEN: Final = re.compile(
    r"(?<![\w-])e(?:yJ|yA|w[oA0])[\w-]{4,}={0,2}\.[\w-]*={0,2}\.[\w-]*={0,2}(?:\.[\w-]+\.[\w-]+)?", re.ASCII
)
_PIECE: Final = 1024 * 1024
_LONGEST: Final = 64 * 1024
_SHOW_FROM: Final = 4 * _PIECE  # smaller files are read before anybody looks


class Found(NamedTuple):
    """A token and where it stands; line and column count from 1, and are 0 for one that was given by itself."""

    token: str
    source: str
    line: int = 0
    column: int = 0

    @property
    def where(self) -> str:
        """`access.log:12:30`."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    @property
    def place(self) -> dict[str, str | int]:
        """The same as JSON; empty for one that was given by itself."""
        return {"file": self.source, "line": self.line, "column": self.column} if self.line else {}


def scan_option(help: str) -> Callable[[Any], Any]:  # noqa: A002
    """Add --scan; the command gets its files as `logs`."""
    return click.option("--scan", "logs", multiple=True, metavar="FILE", type=FILE, help=help)


def tokens_given(token: tuple[str, ...], files: tuple[str, ...]) -> Iterator[Found]:
    """The token of the argument or of stdin, unless only files are named, and every token in these. Raises Stop."""
    if token or not files:
        given = " ".join(token)
        yield Found(read_token(token), given[1:] if given.startswith("@") else "token")
    for path in files:
        yield from tokens_in(path)


def tokens_in(path: str) -> Iterator[Found]:
    """Every token in a file, or in stdin where the path is "-". Raises Stop where it cannot be read."""
    source = "stdin" if path == "-" else path
    try:
        with contextlib.ExitStack() as stack:
            file = sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb"))
            yield from _tokens(file, source, stack)
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror or type(error).__name__}") from None
    except ValueError:  # a NUL in the name
        raise Stop("cannot read a file of that name") from None


def _tokens(file: BinaryIO, source: str, stack: contextlib.ExitStack) -> Iterator[Found]:
    size = os.fstat(file.fileno()).st_size if file is not sys.stdin.buffer else 0
    bar = None
    if size > _SHOW_FROM and sys.stderr.isatty():
        bar = stack.enter_context(click.progressbar(length=size, label=source, file=sys.stderr))
    line, before, carried, unseen = 1, 0, "", 0
    while piece := file.readline(_PIECE):
        unseen += len(piece)
        if bar is not None and unseen > _PIECE:
            bar.update(unseen)
            unseen = 0
        ended = piece.endswith(b"\n")
        text = carried + piece.decode("utf-8", "replace")
        carried = ""
        for match in _TOKEN.finditer(text):
            if match.end() == len(text) and not ended and len(piece) == _PIECE and len(match[0]) < _LONGEST:
                carried = match[0]  # it may go on in the next piece of this line
                break
            yield Found(match[0], source, line, before + match.start() + 1)
        before = 0 if ended else before + len(text) - len(carried)
        line += ended
    if bar is not None:
        bar.update(unseen)
