"""`jwt admin users`: the service's own users."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from admit.cli.group import Group
from admit.cli.output import for_people, json_option, note, print_json
from admit.cli.password import password_options, read_password
from admit.cli.store import GROUP, found, print_table, service_of, where

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=Group, context_settings=GROUP)
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
