"""A service's database as `jwt admin` opens it, with no service running; and rows of it as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.group import CONTEXT
from admit.cli.output import for_people, note, print_json, safe
from admit.cli.serve import opened, read_settings, settings_options
from admit.cli.times import moment

if TYPE_CHECKING:
    from pathlib import Path

    from admit.server.settings import Settings
    from admit.service.facade import TokenService
    from admit.service.results import User

where: Final = settings_options(
    *("data", "database", "master_key_file", "algorithm", "key_published", "key_reload"),
    *("password_length", "argon2_memory", "argon2_passes", "argon2_lanes"),
)
GROUP: Final = CONTEXT
_TIMES: Final = ("_at", "_time")


@contextmanager
def service_of(config: Path | None, flags: dict[str, Any]) -> Iterator[TokenService]:
    """The service that is there: a mistyped --data or --database makes no new one. Raises Stop."""
    settings = read_settings(config, flags)
    if settings.sqlite is not None and not settings.sqlite.exists():
        raise no_service(settings)
    with service_made_of(config, flags) as service:
        yield service


@contextmanager
def service_made_of(config: Path | None, flags: dict[str, Any]) -> Iterator[TokenService]:
    """The service, for what may be the first thing in it; a new one is told of."""
    settings = read_settings(config, flags)
    made = settings.sqlite is not None and not settings.sqlite.exists()
    service = opened(settings)
    if made:
        note(f"There was no service in {_place(settings)}: this is a new one.", color="yellow")
    try:
        yield service
    finally:
        service.close()


def no_service(settings: Settings) -> Stop:
    """What ends a command for which a service must be there, and is not."""
    return Stop(f"there is no service in {_place(settings)}: is {right(settings)}", Exit.DATABASE)


def right(settings: Settings) -> str:
    """The end of a question: which setting says where the database lies, and who makes what is not there."""
    return "--database right?" if settings.database else "--data right? jwt serve makes it"


def _place(settings: Settings) -> Path | None:
    """Where a service on SQLite lies."""
    return settings.sqlite if settings.database else settings.data


def print_table(rows: Sequence[dict[str, object]], as_json: bool) -> None:
    """Rows with the same members: aligned for people, a JSON array for a pipe."""
    if not for_people(as_json):
        print_json(list(rows))
        return
    columns = list(rows[0]) if rows else []
    shown = [{name: _cell(name, row[name]) for name in columns} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in shown)) for name in columns}
    for row in [{name: name for name in columns}, *shown] if rows else []:
        click.echo("  ".join(row[name].ljust(widths[name]) for name in columns).rstrip())
    if not rows:
        note("There are none.")


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return moment(value) if name.endswith(_TIMES) and isinstance(value, int | float) else safe(str(value))


def found(service: TokenService, name: str) -> User:
    """The user of that name. Raises Stop where there is none."""
    user = service.users.find(name)
    if user is None:
        raise Stop(f"there is no user {safe(name)}", Exit.USAGE)
    return user
