"""`jwt admin clients`: who may ask for tokens, and how it authenticates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from admit.cli.exits import Exit, Stop
from admit.cli.files import FILE
from admit.cli.group import Group
from admit.cli.input import read_bytes
from admit.cli.output import for_people, json_option, note, print_json, print_sections, safe
from admit.cli.store import GROUP, print_table, service_made_of, service_of, where
from admit.errors import MalformedToken
from admit.jose.encoding import json_bytes, json_object
from admit.server.sorts import read_lasting
from admit.tokens.durations import EXPECTED

if TYPE_CHECKING:
    from pathlib import Path

    from admit.service.facade import TokenService
    from admit.service.results import Client, NewClient


@click.group(cls=Group, context_settings=GROUP)
def clients() -> None:
    """Who may ask for tokens."""


@clients.command("add")
@click.argument("name")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    type=click.Choice(["password", "refresh_token", "client_credentials"]),
    help="what it may do, again for more; without any it can only introspect",
)
@click.option(
    "--audience",
    "audiences",
    metavar="AUDIENCE",
    multiple=True,
    required=True,
    help="whom its tokens are for, again for more",
)
@click.option("--scope", "scopes", metavar="SCOPE", multiple=True, help="what its tokens may allow, again for more")
@click.option("--public", is_flag=True, help="it cannot keep a secret: a browser, a mobile application")
@click.option(
    "--jwks", metavar="FILE", type=FILE, help="its public keys, a JWK Set or one JWK, in place of a secret; - for stdin"
)
@where
@json_option
def add_client(
    name: str,
    grants: tuple[str, ...],
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    public: bool,
    jwks: str | None,
    as_json: bool,
    config: Path | None,
    **flags: Any,
) -> None:
    """Add a client NAME, and print its secret: this once, for it is stored only as a hash."""
    if public and jwks is not None:
        raise Stop("a public client has no keys: leave out --public or --jwks", Exit.USAGE)
    keys = None if jwks is None else _key_set(jwks)
    with service_made_of(config, flags) as service:
        new = service.clients.add(
            name, grants=grants, audiences=audiences, scopes=scopes, confidential=not public, jwks=keys
        )
    _print_new(new, as_json)


@clients.command("list")
@where
@json_option
def list_clients(as_json: bool, config: Path | None, **flags: Any) -> None:
    """List every client: how it authenticates, its grants, audiences and scopes."""
    with service_of(config, flags) as service:
        rows = [_row(client) for client in service.clients.list()]
    if for_people(as_json):
        rows = [{k: " ".join(v) or "-" if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    print_table(rows, as_json)


@clients.command("show")
@click.argument("name")
@where
@json_option
def show_client(name: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Show the client NAME, its public keys and its session policy; never a secret."""
    with service_of(config, flags) as service:
        row = _row(_found(service, name), whole=True)
    if for_people(as_json):
        print_sections({"Client": list(row.items())})
    else:
        print_json(row)


@clients.command("rotate-secret")
@click.argument("name")
@click.option(
    "--overlap",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="how long the old secret is accepted too: 90s, 30m, 24h, 7d; 0 where somebody else knows it",
)
@where
@json_option
def rotate_secret(name: str, overlap: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Give NAME a new secret, and print it: this once. The old one is accepted for a while more."""
    try:
        span = read_lasting(overlap)
    except (ValueError, OverflowError):
        raise Stop(f"--overlap is {EXPECTED}, or 0", Exit.USAGE) from None
    with service_of(config, flags) as service:
        new = service.clients.rotate_secret(_found(service, name).id, overlap=span)
    _print_new(new, as_json)
    note(f"The old secret is accepted for {overlap} more." if span else "The old secret is refused from now on.")


@clients.command("set-keys")
@click.argument("name")
@click.argument("file", type=FILE)
@where
def set_keys(name: str, file: str, config: Path | None, **flags: Any) -> None:
    """Replace NAME's public keys by those in FILE, a JWK Set or one JWK; - for stdin.

    To rotate without a gap, give the old and the new key first, and the new one alone once the client signs with it.
    """
    keys = _key_set(file)
    with service_of(config, flags) as service:
        service.clients.set_keys(_found(service, name).id, keys)
    note(f"{safe(name)} authenticates with these keys from now on.")


@clients.command("remove")
@click.argument("name")
@where
def remove_client(name: str, config: Path | None, **flags: Any) -> None:
    """Refuse NAME from now on, and cut off its access tokens. Its name is never given to another client."""
    with service_of(config, flags) as service:
        service.clients.disable(_found(service, name).id)
    note(f"{safe(name)} is refused, and its tokens are cut off.")


def _found(service: TokenService, name: str) -> Client:
    """The client of that name or id. Raises Stop."""
    client = service.clients.get(f"client.{name}") or service.clients.get(name)
    if client is None:
        raise Stop(f"there is no client {safe(name)}", Exit.USAGE)
    return client


def _row(client: Client, *, whole: bool = False) -> dict[str, object]:
    row: dict[str, object] = {
        "client_id": client.id,
        "auth_method": client.auth_method,
        "grants": sorted(client.grants),
        "audiences": list(client.audiences),
        "scopes": sorted(client.scopes),
        "disabled": client.disabled,
        "old_secret_until_at": client.previous_until,
    }
    if whole:
        row["jwks"] = None if client.jwks is None else json.loads(client.jwks)
        row["rotates_refresh_tokens"] = client.policy.rotate
        row["idle_seconds"] = client.policy.idle.total_seconds()
        row["absolute_seconds"] = client.policy.absolute.total_seconds()
    return row


def _print_new(new: NewClient, as_json: bool) -> None:
    if not for_people(as_json):
        print_json({**_row(new.client), "client_secret": new.secret})
        return
    click.echo(new.secret or new.client.id)
    if new.secret is not None:
        note(f"The secret of {new.client.id}; it is shown this once.")


def _key_set(file: str) -> str:
    """The text of a JWK Set, also where the file holds one JWK. Raises Stop."""
    try:
        members = json_object(read_bytes(file))
    except MalformedToken as error:
        raise Stop(f"the keys are not JSON: {error}", Exit.USAGE) from None
    return json_bytes(members if "keys" in members else {"keys": [members]}).decode()
