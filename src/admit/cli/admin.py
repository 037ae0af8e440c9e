"""`jwt admin`: users, sessions and keys, straight in the service's database; no service needs to run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from admit.cli.audit import audit
from admit.cli.database import db
from admit.cli.exits import Stop
from admit.cli.input import from_environment, prompt, read_bytes
from admit.cli.output import for_people, json_option, note, print_json
from admit.cli.sessions import sessions
from admit.cli.store import GROUP, found, print_table, service_of, where

if TYPE_CHECKING:
    from pathlib import Path


F = TypeVar("F", bound=Callable[..., object])
_THUMBPRINT: Final = re.compile(r"-[A-Za-z0-9_-]{42}")  # RFC 7638, those that look like an option


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
        password = from_environment(variable) if variable else prompt("password", confirm=confirm)
    if not password:
        raise Stop("the password is empty")
    return password


@click.group(context_settings=GROUP)
def admin() -> None:
    """Users, sessions and keys of a service, in its database."""


for group in (db, sessions, audit):
    admin.add_command(group)


@admin.group(context_settings=GROUP)
def users() -> None:
    """The service's own users."""


@users.command("add")
@click.argument("name")
@password_options
@where
@json_option
def add_user(
    name: str, password_stdin: bool, password_env: str | None, as_json: bool, config: Path | None, **flags: Any
) -> None:
    """Add a user NAME, and print the id that its tokens carry as `sub`."""
    password = read_password(password_stdin, password_env, confirm=True)
    with service_of(config, flags) as service:
        user = service.users.add(name, password)
    if for_people(as_json):
        click.echo(user.id)
    else:
        print_json(asdict(user))


@users.command("list")
@where
@json_option
def list_users(as_json: bool, config: Path | None, **flags: Any) -> None:
    """List every user."""
    rows: list[dict[str, object]] = []
    with service_of(config, flags) as service:
        page = service.users.list()
        while page:
            rows += [asdict(user) for user in page]
            page = service.users.list(after=page[-1].id)
    print_table(rows, as_json)


@users.command("disable")
@click.argument("name")
@where
def disable_user(name: str, config: Path | None, **flags: Any) -> None:
    """Disable NAME: no login any more, every session ends, every access token is cut off."""
    with service_of(config, flags) as service:
        service.users.disable(found(service, name).id)
    note(f"{name} is disabled and logged out everywhere.")


@users.command("passwd")
@click.argument("name")
@password_options
@where
def set_password(name: str, password_stdin: bool, password_env: str | None, config: Path | None, **flags: Any) -> None:
    """Set NAME's password, which ends every session begun with the old one."""
    password = read_password(password_stdin, password_env, confirm=True)
    with service_of(config, flags) as service:
        service.users.set_password(found(service, name).id, password)
    note(f"{name} has a new password and is logged out everywhere.")


@admin.group(context_settings=GROUP)
def keys() -> None:
    """The keys that sign access tokens and the revocation feed."""


@keys.command("list")
@where
@json_option
def list_keys(as_json: bool, config: Path | None, **flags: Any) -> None:
    """List every key with its state: pending, active, retiring, retired, revoked."""
    with service_of(config, flags) as service:
        rows = [asdict(key) for key in service.keys.list()]
    print_table(rows, as_json)


@keys.command("rotate")
@click.option("--force", is_flag=True, help="do not wait until every verifier can hold the standby key")
@where
@json_option
def rotate_keys(force: bool, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Let the published standby key sign from now on; tokens of the old one stay valid until they expire."""
    with service_of(config, flags) as service:
        key = service.keys.rotate(force=force)
    if for_people(as_json):
        click.echo(key.kid)
    else:
        print_json(asdict(key))


class _TakesKid(click.Command):
    """A command whose KID may begin with a hyphen, as one thumbprint in 64 does: in an emergency nobody thinks of `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        kids = [] if "--" in args else [each for each in args if _THUMBPRINT.fullmatch(each)]
        return super().parse_args(ctx, [each for each in args if each not in kids] + (["--", *kids] if kids else []))


@keys.command("revoke", cls=_TakesKid)
@click.argument("kid")
@where
def revoke_key(kid: str, config: Path | None, **flags: Any) -> None:
    """Revoke the key KID for good: it leaves the JWKS, and every token it signed is refused."""
    with service_of(config, flags) as service:
        service.keys.revoke(kid)
    sys.stdout.flush()
    note("The key is revoked; verifiers that follow the revocation feed refuse its tokens within a second.")
