"""Groups of commands: their help says what each command does in a whole sentence, and loads it only to say so."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME: Final = 10  # characters of the longest name of most groups: their sections align
CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
_LIKE_AN_OPTION: Final = re.compile(r"-(?:[A-Za-z0-9_-]{23}|[A-Za-z0-9_-]{42})")  # identifiers of Admit, and RFC 7638's


class Group(click.Group):
    """A click group whose list of commands is never cut short with "..."."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help: a command whose extra is not installed is in it all the same."""
        for title, names in self.sections(ctx).items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_NAME), self.said(ctx, name)) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin so, with what they do; then options."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self.said(ctx, name)) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[str]]:
        """The commands' names, under the titles of the help."""
        return {"Commands": self.list_commands(ctx)}

    def said(self, ctx: click.Context, name: str) -> str:
        """What a command does, in a sentence."""
        try:
            command = self.get_command(ctx, name)
        except ModuleNotFoundError as error:
            return f"(needs {error.name}, which is not installed)"
        return sentence(command) if command else ""


class LazyGroup(Group):
    """A group whose commands are data: name -> ("module of admit.cli:attribute", what it does)."""

    def __init__(
        self,
        name: str,
        table: Mapping[str, tuple[str, str]],
        help: str,  # noqa: A002
        epilog: str = "",
        sections: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(name, help=help, epilog=epilog, context_settings=CONTEXT)
        self.table, self._sections = table, sections

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[str]]:
        """The titles given, or one for all."""
        return self._sections or super().sections(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Every name, in the table's order."""
        return list(self.table)

    def said(self, ctx: click.Context, name: str) -> str:  # noqa: ARG002
        """What the table says it does: no command is loaded for that."""
        return self.table[name][1]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now; None where there is none."""
        if cmd_name not in self.table:
            return None
        place, said = self.table[cmd_name]
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(f"admit.cli.{module}"), attribute)
        command.short_help = command.short_help or said
        return command


class TakesIdentifiers(click.Command):
    """A command that takes identifiers, one in 64 of which begins with a hyphen: in an emergency nobody thinks of `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Whatever can only be an identifier is one."""
        options = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        given = (
            [] if "--" in args else [each for each in args if _LIKE_AN_OPTION.fullmatch(each) and each not in options]
        )
        return super().parse_args(ctx, [each for each in args if each not in given] + (["--", *given] if given else []))


def sentence(command: click.Command) -> str:
    """What a command does: its short help, or the first sentence of its help."""
    text = command.short_help or inspect.cleandoc(command.help or "").partition("\n\n")[0]
    first, stop, _ = " ".join(text.split()).partition(". ")
    return first + "." if stop else first
