"""`jwt admin sessions`: where a user is logged in, and logging it out there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from admit.cli.exits import Exit, Stop
from admit.cli.group import Group, TakesIdentifiers
from admit.cli.output import for_people, json_option, note
from admit.cli.store import GROUP, found, print_table, service_of, where

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=Group, context_settings=GROUP)
def sessions() -> None:
    """The live sessions of a user."""


@sessions.command("list")
@click.argument("name")
@where
@json_option
def list_sessions(name: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """List NAME's sessions, the newest first: client, device, address, login and last use."""
    with service_of(config, flags) as service:
        rows = [asdict(session) for session in service.sessions(found(service, name).id)]
    if for_people(as_json):
        rows = [{member: value for member, value in row.items() if member != "sub"} for row in rows]  # NAME's, all
    print_table(rows, as_json)


@sessions.command("end", cls=TakesIdentifiers)
@click.argument("name")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="every session, and every access token too")
@where
def end_sessions(name: str, ids: tuple[str, ...], every: bool, config: Path | None, **flags: Any) -> None:
    """End sessions of NAME by their IDs, or all of them."""
    if bool(ids) is every:
        raise Stop("name the sessions to end by their ids, or all of them with --all", Exit.USAGE)
    with service_of(config, flags) as service:
        sub = found(service, name).id
        if every:
            service.logout_everywhere(sub)
            note(f"{name} is logged out everywhere.")
        missing = [each for each in ids if not service.end_session(sub, each)]
    if missing:
        raise Stop(f"{name} has no live session {', '.join(missing)}", Exit.USAGE)
