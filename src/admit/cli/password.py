"""Where a command reads a password from: a prompt, stdin or the environment, never argv."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from admit.cli.exits import Stop
from admit.cli.input import from_environment, prompt, read_bytes

F = TypeVar("F", bound=Callable[..., object])


def password_options(command: F) -> F:
    """Where a password comes from: a prompt, stdin or the environment, never argv."""
    stdin = click.option("--password-stdin", is_flag=True, help="read the password from stdin")
    variable = click.option("--password-env", metavar="NAME", help="read the password from this variable")
    return stdin(variable(command))


def read_password(stdin: bool, variable: str | None, confirm: bool = False) -> str:
    """The password; a line end after it is no part of it. Raises Stop where there is none."""
    if stdin and variable:
        raise Stop("the password is given in more than one way")
    if stdin:
        try:
            password = read_bytes("-").decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Stop("the password on stdin is not UTF-8") from None
    else:
        instead = "--password-stdin or --password-env NAME"
        password = from_environment(variable) if variable else prompt("password", instead=instead, confirm=confirm)
    if not password:
        raise Stop("the password is empty")
    return password
