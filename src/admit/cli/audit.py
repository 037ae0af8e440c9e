"""`jwt admin audit`: what happened at a service, in order."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from admit.cli.output import for_people, json_option, safe, to_json
from admit.cli.store import found, service_of, where
from admit.cli.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from admit.service.facade import TokenService
    from admit.service.results import AuditEvent

_PAGE = 500


@click.command()
@click.option("--user", "name", metavar="NAME", help="of this user only")
@click.option("--event", "events", multiple=True, help="of this kind only, as session.reuse; again for more")
@click.option("--after", type=click.IntRange(0), default=0, help="after the event of this number")
@where
@json_option
def audit(
    name: str | None, events: tuple[str, ...], after: int, as_json: bool, config: Path | None, **flags: Any
) -> None:
    """Print the audit trail, oldest first; in a pipe, one JSON object a line."""
    people = for_people(as_json)
    with service_of(config, flags) as service:
        sub = None if name is None else found(service, name).id
        for event in _trail(service, after, sub):
            if not events or event.event in events:
                click.echo(_line(event) if people else to_json(asdict(event)))


def _trail(service: TokenService, after: int, sub: str | None) -> Iterator[AuditEvent]:
    while page := service.audit(after=after, sub=sub, limit=_PAGE):
        yield from page
        after = page[-1].id


def _line(event: AuditEvent) -> str:
    members = ("sub", "client_id", "session_id", "address", "detail")
    told = [f"{name}={safe(value)}" for name in members if (value := getattr(event, name))]
    return "  ".join((str(event.id).rjust(6), moment(event.at), event.event.ljust(20), *told))
