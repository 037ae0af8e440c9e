"""What a command writes: colors for people, JSON for pipes, remarks on stderr, files that only their owner reads."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from admit import clock
from admit.cli.exits import Exit, Stop
from admit.cli.times import is_time, moment, relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIMES: Final = frozenset(("exp", "nbf", "iat", "auth_time", "updated_at"))
_QUOTED: Final = 40
_NAME: Final = 24  # columns, of a longer name folded
_VALUE: Final = 40  # columns: less is no table

json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, in a terminal too.")


def safe(text: str) -> str:
    """Text that cannot steer a terminal: control characters, and those that turn the reading direction, are escaped."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def quoted(text: str) -> str:
    """What was given in argv, as an error may repeat it: the end of it, and nothing where it is a token or a key."""
    if "{" in text or "\n" in text or "-----BEGIN" in text:
        return "(a key, where a file or - is wanted)"
    if "eyJ" in text:
        return "(a token)"
    return safe(text if len(text) <= _QUOTED else f"...{text[3 - _QUOTED :]}")


def to_json(value: object, indent: int | None = None) -> str:
    """A value as JSON; every character that does not print, or that stdout's encoding may not have, is escaped.

    A number that is not finite becomes a string: JSON has no other way to say it (RFC 8259 6).
    """
    finite = json.loads(json.dumps(value, default=str), parse_constant=str)
    foreign = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
    return "\n".join(map(safe, json.dumps(finite, ensure_ascii=foreign, indent=indent).split("\n")))


def for_people(as_json: bool) -> bool:
    """Whether stdout is read by a person."""
    return not as_json and sys.stdout.isatty()


def note(message: str, quiet: bool = False, color: str | None = None) -> None:
    """A remark on stderr: never part of the answer."""
    if not quiet:
        sys.stdout.flush()
        click.echo(paint(safe(message), color) if color else safe(message), err=True)


def paint(text: str, color: str) -> str:
    """Colored text. click takes the color away where no terminal is written to; NO_COLOR is its reader's wish."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=color)


def stopped() -> None:
    """The last line of what Ctrl-C stops: it ends the one on which the terminal shows ^C."""
    if sys.stderr.isatty():
        click.echo("\nStopped.", err=True)


def is_time_claim(name: str, value: object) -> bool:
    """Whether a claim's value is to be said in words, too."""
    return name in _TIMES and is_time(value)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    click.echo(to_json(value, indent=2))


def print_fields(
    members: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    as_json: bool = False,
    unless: str = "",
    code: Exit = Exit.CLAIMS,
) -> None:
    """One value a line: a claim, a header parameter after `header.`, or a member of one of these, as `address.country`.

    Strings are bare, unless as_json; all else is JSON. Raises Stop with that code where there is no such member; `unless`
    says what it may be that hides it.
    """
    claims = members["claims"]
    for name in names:
        value = claims[name] if name in claims else _inner({**claims, "header": members["header"]}, name)
        if value is ...:
            raise Stop(f"the token has no {quoted(name)}{unless}", code)
        click.echo(safe(value) if isinstance(value, str) and not as_json else to_json(value))


def _inner(members: object, name: str) -> Any:
    """The member of that name, or the member of a member; ... where there is none."""
    if not isinstance(members, dict):
        return ...
    place, dot, rest = name.partition(".")
    return members[name] if name in members else _inner(members.get(place), rest) if dot else ...


def print_sections(sections: Mapping[str, Iterable[tuple[str, object]]]) -> None:
    """Titled, aligned rows of names and JSON values, or one below the other where it is narrow; times are also said in words."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    now = clock.system_clock()
    console = Console(highlight=False, markup=False, emoji=False)
    width = min(max((len(safe(name)) for rows in sections.values() for name, _ in rows), default=0), _NAME)
    narrow = console.width < width + _VALUE
    for title, rows in sections.items():
        console.print(Text(title, style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=width, style="cyan", overflow="fold")
        table.add_column(overflow="fold")
        for name, value in rows:
            text = Text(to_json(value), style=_style(value))
            if is_time_claim(name, value) and isinstance(value, int | float):
                text.append(f"  {relative(value, now)} ({moment(value)})", style="default")
            if narrow:  # the terminal breaks the lines: a table would crop them
                console.print(Text(f"{safe(name)}\n  ", style="cyan").append_text(text), soft_wrap=True)
            else:
                table.add_row(Text(safe(name)), text)
        console.print(table)


def _style(value: object) -> str:
    return "green" if isinstance(value, str) else "magenta" if isinstance(value, int | float) else "default"


def write_file(path: str, data: bytes, force: bool) -> None:
    """A file that only its owner reads (0600). One that is there already stays, unless `force` replaces it whole."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    # With force, beside it and then in its place: no moment with half a key, never through somebody's symbolic link.
    target = f"{path}.{clock.random_id()}" if force else path
    try:
        descriptor = os.open(target, flags, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if force:
                os.replace(target, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(target)
            raise
    except FileExistsError:
        raise Stop(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        raise Stop(f"cannot write {path}: {error.strerror or type(error).__name__}") from None
    except ValueError:
        raise Stop("cannot write a file of that name") from None
