"""`jwt` in this process: the whole command from its entry point on, with streams of its own."""

from __future__ import annotations

import io
import sys
from typing import NamedTuple
from unittest import mock

from admit.cli.entry import run as run_command


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, given: str | bytes = b"") -> Done:
    """Run `jwt`; its stdin holds `given`, and no stream is a terminal."""
    data = given.encode() if isinstance(given, str) else given
    stdin, out, err = (io.TextIOWrapper(io.BytesIO(each), encoding="utf-8") for each in (data, b"", b""))
    with mock.patch.multiple(sys, stdin=stdin, stdout=out, stderr=err):
        code = run_command(list(arguments))
        out.flush()
        err.flush()
    written = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]
    return Done(int(code), *written)
