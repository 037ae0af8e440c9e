"""The manual pages, made from the commands' own help around a front written by hand.

`python -m admit.cli.manual` writes them anew. They are committed, installed as share/man/man1, and a test compares.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from admit import __version__
from admit.cli.commands import COMMANDS, jwt
from admit.cli.exits import MEANING
from admit.cli.group import sentence
from admit.cli.roff import bold, escaped, italic, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES: Final = Path(__file__).parent / "pages"
FRONT: Final = PAGES.parent / "front.roff"
DATE: Final = "2026-11-26"
"""The pages' date: moved by hand with a release, so that they are the same wherever they are made."""
_HELP: Final = ("-h, --help", "--help")
_WORD: Final = re.compile(r"`([^`]+)`")


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    root = click.Context(jwt, info_name="jwt")
    made = {"jwt.1": _front(root)}
    for name in COMMANDS:
        command = jwt.get_command(root, name)
        assert command is not None  # noqa: S101 - the table names it
        made[f"jwt-{name}.1"] = _page(click.Context(command, info_name=name, parent=root))
    return made


def _front(root: click.Context) -> str:
    """The hand-written front, its marks replaced by what the commands and the exit codes say themselves."""
    marks = {
        "commands": _command_list(root),
        "options": _options(root),
        "exits": _rows((str(int(code)), meaning) for code, meaning in MEANING.items()),
    }
    text = FRONT.read_text(encoding="utf-8")
    for name, lines in marks.items():
        text = text.replace(f'.\\" @{name}\n', "\n".join(lines) + "\n")
    return _title("jwt") + text


def _page(context: click.Context) -> str:
    name = f"jwt-{context.info_name}"
    lines = [
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(_sentence(context.command))}",
        ".SH SYNOPSIS",
        *_usage(context),
        ".SH DESCRIPTION",
        *_description(context.command),
    ]
    options = list(_options(context))
    if options:
        lines += [".SH OPTIONS", *options]
    if isinstance(context.command, click.Group):
        lines.append(".SH COMMANDS")
        lines += _subcommands(context, "jwt " + (context.info_name or ""))
    lines += [
        ".SH EXIT STATUS",
        f"As {bold('jwt')}(1) lists them.",
        ".SH SEE ALSO",
        f"{bold('jwt')}(1)",
    ]
    return _title(name) + "\n".join(lines) + "\n"


def _title(name: str) -> str:
    comment = ".\\\" Made by `python -m admit.cli.manual` from the commands' own help: do not edit.\n"
    return f"{comment}.TH {escaped(name.upper())} 1 {DATE} {quoted(f'Admit {__version__}')} {quoted('Admit')}\n.nh\n.ad l\n"


def _command_list(root: click.Context) -> Iterator[str]:
    for name in COMMANDS:
        command = jwt.get_command(root, name)
        assert command is not None  # noqa: S101 - the table names it
        yield from (".TP", f"{bold(f'jwt-{name}')}(1)", escaped(_sentence(command)))


def _subcommands(context: click.Context, path: str) -> Iterator[str]:
    group = context.command
    assert isinstance(group, click.Group)  # noqa: S101 - its callers ask
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - the group lists it
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _subcommands(below, f"{path} {name}")
        else:
            yield from (f".SS {quoted(f'{path} {name}')}", *_usage(below), ".PP", *_description(command))
            yield from _options(below)


def _usage(context: click.Context) -> list[str]:
    pieces = context.command.collect_usage_pieces(context)
    return [" ".join([bold(context.command_path), *map(italic, pieces)])]


def _description(command: click.Command) -> list[str]:
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        literal = paragraph.startswith("\b\n")
        text = _marked(paragraph.removeprefix("\b\n"))
        if lines:
            lines.append(".PP")
        lines += [".EX", *text.split("\n"), ".EE"] if literal else [" ".join(text.split("\n"))]
    return lines


def _options(context: click.Context) -> Iterator[str]:
    records = [each.get_help_record(context) for each in context.command.get_params(context)]
    shown = [(name, text) for name, text in filter(None, records) if name not in _HELP and text]
    if context.parent is None:
        shown.append((_HELP[0], "Say what it does, and end; every command has it."))
    return _rows(shown)


def _rows(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    for name, text in rows:
        yield from (".TP", bold(name), _marked(" ".join(text.split())))


def _marked(text: str) -> str:
    return _WORD.sub(lambda word: f"\\fB{word[1]}\\fR", escaped(text))


def _sentence(command: click.Command) -> str:
    """The first sentence of its help, without the full stop."""
    return sentence(command).rstrip(".").replace("`", "")


def main() -> None:
    """Write every page, and remove those of commands that are gone."""
    made = pages()
    for stale in {path.name for path in PAGES.glob("*.1")} - made.keys():
        (PAGES / stale).unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
