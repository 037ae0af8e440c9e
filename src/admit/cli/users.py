"""`jwt admin users`: the service's own users."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path as PathType
from typing import TYPE_CHECKING, Any

import click

from admit.cli.exits import Exit, Stop
from admit.cli.group import Group
from admit.cli.output import for_people, json_option, note, print_json
from admit.cli.password import password_options, read_password
from admit.cli.store import GROUP, found, print_table, service_made_of, service_of, where
from admit.cli.totp import totp
from admit.cli.user_file import row_of, with_progress
from admit.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=Group, context_settings=GROUP)
def users() -> None:
    """The service's own users."""


users.add_command(totp)


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
    with service_made_of(config, flags) as service:
        user = service.users.add(name, password)
    if for_people(as_json):
        click.echo(user.id)
    else:
        print_json(asdict(user))


@users.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=PathType))
@where
@json_option
def import_users(file: Path, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Add the users of FILE, with the password hashes that Django, Werkzeug or passlib made.

    JSON lines, or CSV whose first line names the columns: name (or username), and password_hash (or password). Users who
    are there already stay as they are, so that an import cut short can be run again; a line that cannot be used is
    told on stderr, and the others are imported. Each hash is replaced by Argon2id when its user next logs in.
    """
    counts = Counter[str]()
    with service_made_of(config, flags) as service:
        for number, row in with_progress(file):
            try:
                name, stored = row_of(row)
                taken = service.users.find(name) is not None
                if not taken:
                    service.users.add(name, password_hash=stored)
                counts["there already" if taken else "added"] += 1
            except InvalidRequest as error:
                counts["refused"] += 1
                note(f"line {number}: {error}")
    told = {name: counts[name] for name in ("added", "there already", "refused")}
    if for_people(as_json):
        click.echo(", ".join(f"{count} {name}" for name, count in told.items()))
    else:
        print_json({name.replace(" ", "_"): count for name, count in told.items()})
    if counts["refused"]:
        raise Stop("", Exit.USAGE)


@users.command("list")
@where
@json_option
def list_users(as_json: bool, config: Path | None, **flags: Any) -> None:
    """List every user, by name."""
    rows: list[dict[str, object]] = []
    with service_of(config, flags) as service:
        page = service.users.list()
        while page:
            rows += [asdict(user) for user in page]
            page = service.users.list(after=page[-1].id)
    print_table(sorted(rows, key=lambda row: str(row["name"])), as_json)


@users.command("disable")
@click.argument("name")
@where
def disable_user(name: str, config: Path | None, **flags: Any) -> None:
    """Disable NAME: no login any more, every session ends, every access token is cut off."""
    with service_of(config, flags) as service:
        service.users.disable(found(service, name).id)
    note(f"{name} is disabled and logged out everywhere.")


@users.command("enable")
@click.argument("name")
@where
def enable_user(name: str, config: Path | None, **flags: Any) -> None:
    """Let NAME, who was disabled, log in again; what was cut off stays so."""
    with service_of(config, flags) as service:
        service.users.enable(found(service, name).id)
    note(f"{name} can log in again.")


@users.command("passwd")
@click.argument("name")
@password_options
@where
def set_password(name: str, password_stdin: bool, password_env: str | None, config: Path | None, **flags: Any) -> None:
    """Set NAME's password, which ends every session begun with the old one."""
    password = read_password(password_stdin, password_env, confirm=True)
    with service_of(config, flags) as service:
        user = found(service, name)
        service.users.set_password(user.id, password)
    note(f"{name} has a new password and is logged out everywhere.")
    if user.disabled:
        note(f"{name} is still disabled; jwt admin users enable {name}", color="yellow")
