"""Groups of commands: their help says what each command does in a whole sentence, and loads it only to say so."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT = {"help_option_names": ["-h", "--help"]}


class Group(click.Group):
    """A click group whose list of commands is never cut short with "..."."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help: a command whose extra is not installed is in it all the same."""
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
            except ModuleNotFoundError as error:
                rows.append((name, f"(needs {error.name}, which is not installed)"))
            else:
                rows.append((name, sentence(command) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class LazyGroup(Group):
    """A group whose commands are data: name -> "module:attribute"."""

    def __init__(self, name: str, table: Mapping[str, str], help: str, epilog: str = "") -> None:  # noqa: A002
        super().__init__(name, help=help, epilog=epilog, context_settings=CONTEXT)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Every name, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now; None where there is none."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def sentence(command: click.Command) -> str:
    """What a command does: its short help, or the first sentence of its help."""
    text = command.short_help or inspect.cleandoc(command.help or "").partition("\n\n")[0]
    first, stop, _ = " ".join(text.split()).partition(". ")
    return first + "." if stop else first
