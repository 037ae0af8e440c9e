"""`jwt` in this process: the whole command from its entry point on, with streams of its own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple
from unittest import mock

from admit.cli.entry import run as run_command


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of a service's, and with others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")} | more


def run(*arguments: str, given: str | bytes = b"", env: Mapping[str, str] | None = None) -> Done:
    """Run `jwt`; its stdin holds `given`, and no stream is a terminal. env: in place of this process's environment."""
    data = given.encode() if isinstance(given, str) else given
    stdin, out, err = (io.TextIOWrapper(io.BytesIO(each), encoding="utf-8") for each in (data, b"", b""))
    surroundings = mock.patch.dict(os.environ, {} if env is None else env, clear=env is not None)
    with surroundings, mock.patch.multiple(sys, stdin=stdin, stdout=out, stderr=err):
        code = run_command(list(arguments))
        out.flush()
        err.flush()
    written = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]
    return Done(int(code), *written)
