"""The table of commands, and how one is run. A command's module is imported only when that command runs."""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

from admit.cli.exits import MEANING, Exit, Stop, exit_code
from admit.cli.group import LazyGroup
from admit.cli.output import paint, quoted, safe
from admit.errors import AdmitError

if TYPE_CHECKING:
    from collections.abc import Iterable

SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Read and check tokens": {
        "decode": ("decode:decode", "Show what a token says, without verifying it."),
        "explain": (
            "explain:explain",
            "Say in plain words what a token holds, when it ends and what is wrong with it.",
        ),
        "verify": ("verify:verify", "Check a token's signature, issuer, audience and times."),
        "lint": ("lint:lint", "Say what is dangerous about tokens, and how to mend it."),
    },
    "Make tokens and keys": {
        "sign": ("sign:sign", "Make a signed token."),
        "encrypt": ("encrypt:encrypt", "Encrypt a token, or other content, so that only its receiver can read it."),
        "decrypt": ("decrypt:decrypt", "Open an encrypted token."),
        "key": ("key:key", "Make keys and look at them."),
        "jwks": ("jwks:jwks", "Fetch, look at, compare and serve sets of public keys."),
    },
    "Run a token service": {
        "serve": ("serve:serve", "Serve tokens over HTTP: login, refresh, revocation, keys."),
        "demo": ("demo:demo", "See Admit at work: a service, an API, and a client that plays every step."),
        "admin": ("admin:admin", "Users, clients, sessions and keys of a service, in its database."),
    },
    "Use a token service": {
        "discover": (
            "discover:discover",
            "Say what an issuer publishes about itself: where its keys are, what it offers.",
        ),
        "login": ("login:login", "Log in to a service, and keep the tokens where only you can read them."),
        "refresh": ("login:refresh", "Get a new access token with the refresh token that is kept."),
        "logout": ("login:logout", "End the session that is kept, and forget its tokens."),
        "whoami": ("whoami:whoami", "Say who is logged in, and whether the service's own keys confirm it."),
        "revoke": ("revoke:revoke", "Revoke a token at its service."),
        "introspect": ("introspect:introspect", "Ask a service whether a token is active, as a client that may ask."),
    },
    "About this command": {
        "bench": ("bench:bench", "Measure how many tokens a second this machine signs and verifies."),
        "completion": ("completion:completion", "Print a script that completes commands and options in a shell."),
        "man": ("man:man", "Show the manual."),
    },
}
"""Every command: where it is, and what it does. Read for help and completion, which load none of them."""
COMMANDS: Final = {name: row for section in SECTIONS.values() for name, row in section.items()}


# The library speaks of its arguments; here they are options.
_AS_OPTIONS: Final = (
    (r"pass alg=", "say which with --alg"),
    (r"name it in allow_claims", "name it with --allow-claim"),
    (r"Key\.generate\('([\w-]+)'\)", r"jwt key generate --alg \1"),
    (r",? or name the host in insecure_hosts if the network itself is trusted", ""),
    (r"; for longer ones sign and verify with a Kind of your own.*", ""),
    (r"; further only as \w+=Unchecked\(.*\)", ""),
)
# What claims, other commands and other programs call it -> what it is called here.
_MEANT: Final = {
    "version": "--version",
    "help": "--help",
    "encode": "sign",
    "keygen": "key generate",
    "--exp": "--lifetime",
    "--expires-in": "--lifetime",
    "--ttl": "--lifetime",
    "--payload": "--claims",
    "--algorithm": "--alg",
}
# Why a service was not reached -> what to look at.
_HINTS: Final = (
    (r"Connection refused|All connection attempts failed", "is it running?"),
    (r"CERTIFICATE_VERIFY_FAILED", "where its authority is your own, name that one's certificate in SSL_CERT_FILE"),
    (r"WRONG_VERSION_NUMBER", "it seems to speak plain http"),
    (r"Server disconnected", "does it speak https?"),
    (r"is of another issuer, '", "call it by that name, if it is the one you mean"),
)


_LONG: Final = re.compile(r"\S{41,}|\S*eyJ\S*")  # words of a message that only argv can have had


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
    "it is found in the header, cookie, command or JSON answer that it was copied with. A pipe gets JSON, a terminal something "
    "to read.",
    epilog=_epilog(MEANING.items()),
)
jwt.params.append(
    click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
    )
)


def invoke(arguments: list[str], name: str) -> int:
    """Run one command line, and answer its exit code. Errors that are meant for people become one line on stderr."""
    asked = os.environ.get(f"_{name.upper()}_COMPLETE")
    if asked:  # a shell asks what could stand at the cursor (see admit.cli.completion)
        from click.shell_completion import add_completion_class, shell_complete

        from admit.cli.bash import Bash

        add_completion_class(Bash)
        return shell_complete(jwt, {}, name, f"_{name.upper()}_COMPLETE", asked)
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
    if "-----BEGIN" in message:
        return "That is a key: give its file, or - for stdin."
    if message.startswith("Got unexpected extra argument"):
        return "Too many arguments."
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        meant = _MEANT.get(error.option_name)
        if any(meant in parameter.opts for parameter in error.ctx.command.params):
            return f"No such option: {error.option_name}. Did you mean {meant}?"
    group = error.ctx.command if isinstance(error, click.NoSuchCommand) and error.ctx else None
    if not isinstance(error, click.NoSuchCommand) or not isinstance(group, click.Group) or error.ctx is None:
        return _LONG.sub(lambda word: quoted(word[0]), message)
    if error.command_name.startswith("eyJ"):
        return "No such command; to look at a token: decode TOKEN."
    if error.ctx.parent is None and error.command_name in _MEANT:
        return f"No such command; did you mean {error.ctx.command_path} {_MEANT[error.command_name]}?"
    names = group.list_commands(error.ctx)
    close = get_close_matches(error.command_name[:32], names, 1)
    return f"No such command; {f'did you mean {close[0]!r}?' if close else 'there are ' + ', '.join(names) + '.'}"


def _fail(path: str, message: str) -> None:
    sys.stdout.flush()
    for pattern, option in _AS_OPTIONS:
        message = re.sub(pattern, option, message)
    hints = [hint for pattern, hint in _HINTS if re.search(pattern, message)]
    message = "; ".join([message, *hints[:1]])
    click.echo(f"{paint(f'{path}:', 'red')} {safe(message)}", err=True)
