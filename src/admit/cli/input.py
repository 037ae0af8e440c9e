"""What a command reads: a token, bytes of files and stdin, and secrets."""

from __future__ import annotations

import codecs
import os
import sys
from typing import Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.files import AT_FILE
from admit.cli.output import note, quoted
from admit.cli.paste import unwrap

MAX_INPUT: Final = 1024 * 1024  # a token has kilobytes, a key set hundreds of them; a log belongs elsewhere
_PIECE: Final = 4096
_END_OF_INPUT: Final = b"\x04"
_TAKEN_BACK: Final = 0x7F
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what Windows PowerShell writes with > and |
_LINE_ENDS: Final = (b"\n", _END_OF_INPUT)

token_argument = click.argument("token", nargs=-1, metavar="[TOKEN | @FILE | env:NAME | -]", type=AT_FILE)


class NoToken(Stop):
    """Where a token was to be read there is nothing."""


def read_token(words: tuple[str, ...]) -> str:
    """The token that a command was given, bare: from its argument, a file, the environment or stdin."""
    given = " ".join(words)
    if words and not given.strip():  # an unset variable must neither wait at a terminal nor eat a loop's input
        raise Stop("the argument is empty: no token is in it (with no argument, or -, stdin is read)")
    if given in ("", "-"):
        text = _stdin_token()
        source = "stdin"
    elif given.startswith("@"):
        text, source = _text(read_bytes(given[1:])), quoted(given[1:])
    elif given.startswith("env:"):
        source = f"the environment variable {quoted(given[4:])}"
        text = from_environment(given[4:])
    else:
        text, source = given, "the argument"
    token, remark = unwrap(text)
    if not token:
        raise NoToken(f"no token: {source} is empty; give it as an argument, on stdin, as @FILE or as env:NAME")
    if remark:
        note(remark, click.get_current_context().params.get("quiet", False))
    return token


def read_bytes(path: str) -> bytes:
    """All of a file, or of stdin where the path is "-"; at most `MAX_INPUT` bytes."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_INPUT + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise Stop(f"cannot read {quoted(path)}: {error.strerror or type(error).__name__}") from None
    except ValueError:  # a NUL in the name
        raise Stop("cannot read a file of that name") from None
    if len(data) > MAX_INPUT:
        raise Stop(
            f"{'stdin' if path == '-' else quoted(path)} holds more than {MAX_INPUT // 1024} KiB; that is no token and no key",
            Exit.MALFORMED,
        )
    return data


def from_environment(name: str) -> str:
    """A variable's value; the name alone is in argv, and in messages."""
    value = os.environ.get(name)
    if not value:
        raise Stop(f"the environment variable {quoted(name)} is not set, or empty")
    return value


def read_secret(path: str | None, variable: str | None, ask: bool, what: str) -> bytes | None:
    """A secret from a file, the environment or a prompt; None where none of them is named.

    A text file's last line end is no part of it. There is no way to give one in argv, where others can read it.
    """
    if (path is not None) + (variable is not None) + ask > 1:
        raise Stop(f"the {what} is given in more than one way")
    if path is not None:
        data = read_bytes(path)
        bare = data.removesuffix(b"\n").removesuffix(b"\r")
        secret = bare if bare.isascii() and bare.decode("ascii").isprintable() else data
        if not secret:
            raise Stop(f"{quoted(path)} is empty")
        return secret
    if variable is not None:
        return os.fsencode(from_environment(variable))
    option = f"--{what.replace(' ', '-')}"
    return prompt(what, instead=f"{option}-file FILE or {option}-env NAME").encode() if ask else None


def prompt(what: str, *, instead: str | None = None, confirm: bool = False) -> str:
    """Ask at the terminal, showing nothing of the answer. `instead`: the options that take it where there is no terminal."""
    try:
        with open("/dev/tty", "rb"):
            pass
    except OSError:
        way = f"; give {instead}" if instead else ""
        raise Stop(f"there is no terminal to ask for the {what} at{way}") from None
    answer: str = click.prompt(what.capitalize(), hide_input=True, err=True, confirmation_prompt=confirm)
    return answer


def _stdin_token() -> str:
    if not sys.stdin.isatty():
        return _text(read_bytes("-"))
    return _text(_typed_line("Paste a token and press Enter:"))


def _typed_line(asked: str) -> bytes:
    """A line typed at the terminal, however long: one that edits lines itself cuts them at 4,095 bytes."""
    try:
        import termios
    except ModuleNotFoundError:  # Windows
        note(asked)
        return sys.stdin.buffer.readline(MAX_INPUT)
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    raw = termios.tcgetattr(terminal)
    raw[3] &= ~(termios.ICANON | termios.ECHOCTL)  # lflag; Ctrl-C stays a signal, and a line end is shown as one
    line = b""
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, raw)
        note(asked)
        while len(line) < MAX_INPUT and not line.endswith(_LINE_ENDS) and (typed := os.read(terminal, _PIECE)):
            line += typed
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    if line.endswith(_END_OF_INPUT):
        note("")
    kept = bytearray()
    for byte in line.rstrip(_END_OF_INPUT):
        kept[len(kept) - (byte == _TAKEN_BACK) :] = b"" if byte == _TAKEN_BACK else bytes((byte,))
    return bytes(kept)


def _text(data: bytes) -> str:
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8", "replace")
