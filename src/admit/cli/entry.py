"""The entry point: whatever happens ends in one line and a documented exit code, never in a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Final, NoReturn

# What may be absent, and the extra that brings it.
EXTRAS: Final = {
    "click": "cli",
    "rich": "cli",
    "httpx2": "client",
    "anyio": "client",
    "sqlalchemy": "service",
    "alembic": "service",
    "argon2": "service",
    "pyotp": "service",
    "segno": "service",
    "zxcvbn": "service",
    "starlette": "server",
    "uvicorn": "server",
    "jinja2": "server",
    "prometheus_client": "server",
    "psycopg": "postgres",
}
_WHOLE: Final = frozenset(("serve", "demo", "admin"))  # commands that need several of them: `server` brings all

_OUTPUT_FAILED: Final = frozenset((errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF))


def main() -> NoReturn:
    """Run `jwt` with the arguments of this process, and exit."""
    name = os.path.basename(sys.argv[0])
    sys.exit(run(sys.argv[1:], name if name in ("jwt", "admit") else "jwt"))


def run(arguments: list[str], name: str = "jwt") -> int:
    """Run one command, and answer its exit code (see `jwt --help`)."""
    for number, name_of_stream in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name_of_stream)
        if stream is None:  # closed by whoever started us: its number must not become that of a file we write
            opened = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)  # to lose an answer is to fail
            setattr(sys, name_of_stream, open(opened, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure") and number:  # a token can hold what this terminal's encoding cannot say
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            code = _run(arguments, name)
        except KeyboardInterrupt:
            _say("")
            code = 130
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
        return 141
    except OSError as error:  # a full disk, for one
        _say(f"{name}: cannot write the output: {error.strerror}")
        abandon_output()
        return 1
    return code


def abandon_output() -> None:
    """Let the interpreter's own flush at exit succeed: what is left goes nowhere."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _run(arguments: list[str], name: str) -> int:
    try:
        from admit.cli.commands import invoke

        return invoke(arguments, name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            extra = "server" if extra != "postgres" and not _WHOLE.isdisjoint(arguments[:1]) else extra
            _say(f"{name}: this command needs more than the library alone: pip install 'admit[{extra}]'")
            return 2
        return _unexpected(error, name)
    except OSError as error:
        if error.errno in _OUTPUT_FAILED:
            raise
        return _unexpected(error, name)
    except Exception as error:  # noqa: BLE001 - the last resort: one line, and the code that says "unexpected"
        return _unexpected(error, name)


def _unexpected(error: Exception, name: str) -> int:
    if os.environ.get("ADMIT_TRACEBACK"):
        raise error
    # Not its message: a library's text may quote a token or a key.
    _say(f"{name}: unexpected {type(error).__name__}; set ADMIT_TRACEBACK=1 to see where, and please report it")
    return 1


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
