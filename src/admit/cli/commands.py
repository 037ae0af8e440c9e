"""The table of commands, and how one is run. A command's module is imported only when that command runs."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

from admit.cli.exits import MEANING, Exit, Stop, exit_code
from admit.cli.group import LazyGroup
from admit.cli.output import paint, safe
from admit.errors import AdmitError

if TYPE_CHECKING:
    from collections.abc import Iterable

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Read and check tokens": {
        "decode": "admit.cli.decode:decode",
        "explain": "admit.cli.explain:explain",
        "verify": "admit.cli.verify:verify",
        "lint": "admit.cli.lint:lint",
    },
    "Make tokens and keys": {
        "sign": "admit.cli.sign:sign",
        "encrypt": "admit.cli.encrypt:encrypt",
        "decrypt": "admit.cli.decrypt:decrypt",
        "key": "admit.cli.key:key",
    },
    "Run a token service": {
        "serve": "admit.cli.serve:serve",
        "demo": "admit.cli.demo:demo",
        "admin": "admit.cli.admin:admin",
    },
    "Use a token service": {
        "login": "admit.cli.login:login",
        "refresh": "admit.cli.login:refresh",
        "logout": "admit.cli.login:logout",
    },
    "About this command": {
        "man": "admit.cli.man:man",
    },
}
"""Every command, as its help lists them."""
COMMANDS: Final = {name: place for section in SECTIONS.values() for name, place in section.items()}


# The library speaks of its arguments; here they are options.
_AS_OPTIONS: Final = (
    (r"pass alg=", "say which with --alg"),
    (r"name it in allow_claims", "name it with --allow-claim"),
    (r"Key\.generate\('([\w-]+)'\)", r"jwt key generate --alg \1"),
    (r"; further only as \w+=Unchecked\(.*\)", ""),
)


def _version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:  # noqa: ARG001
    if wanted and not ctx.resilient_parsing:
        from admit import __version__

        click.echo(f"admit {__version__}")
        ctx.exit()


def _epilog(rows: Iterable[tuple[Exit, str]]) -> str:
    return "\b\nExit codes:\n" + "\n".join(f"  {int(code):>3}  {meaning}" for code, meaning in rows)


jwt: Final = LazyGroup(
    "jwt",
    COMMANDS,
    sections={title: tuple(section) for title, section in SECTIONS.items()},
    help="Read, check and make JSON Web Tokens.\n\nA token is given as an argument, on stdin, as @FILE or as env:NAME; "
    "'Bearer ', quotes and a header's name before it are taken off. A pipe gets JSON, a terminal something to read.",
    epilog=_epilog(MEANING.items()),
)
jwt.params.append(
    click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
    )
)


def invoke(arguments: list[str], name: str) -> int:
    """Run one command line, and answer its exit code. Errors that are meant for people become one line on stderr."""
    try:
        # Not click's own main: it would end a closed pipe with 1.
        with jwt.make_context(name, arguments) as context:
            answer = jwt.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.Abort:  # Ctrl-C at a prompt
        click.echo(err=True)
        return Exit.INTERRUPTED
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where else name
        _fail(path, f"{_plain(error)} (see {path} --help)")
        return Exit.USAGE
    except Stop as stop:
        if str(stop):
            _fail(name, str(stop))
        return stop.code
    except AdmitError as error:
        _fail(name, str(error))
        return exit_code(error)
    return answer if isinstance(answer, int) else Exit.OK


def _plain(error: click.ClickException) -> str:
    """Click's message, without the arguments that it echoes: one of them may be a token."""
    message = " ".join(error.format_message().split())
    if message.startswith("Got unexpected extra argument"):
        return "Too many arguments."
    group = error.ctx.command if isinstance(error, click.NoSuchCommand) and error.ctx else None
    if not isinstance(error, click.NoSuchCommand) or not isinstance(group, click.Group) or error.ctx is None:
        return message
    if error.command_name.startswith("eyJ"):
        return "No such command; to look at a token: decode TOKEN."
    names = group.list_commands(error.ctx)
    close = get_close_matches(error.command_name[:32], names, 1)
    return f"No such command; {f'did you mean {close[0]!r}?' if close else 'there are ' + ', '.join(names) + '.'}"


def _fail(path: str, message: str) -> None:
    sys.stdout.flush()
    for pattern, option in _AS_OPTIONS:
        message = re.sub(pattern, option, message)
    click.echo(f"{paint(f'{path}:', 'red')} {safe(message)}", err=True)
