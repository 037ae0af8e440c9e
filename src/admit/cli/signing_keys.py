"""`jwt admin keys`: the keys that sign access tokens and the revocation feed."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.group import Group
from admit.cli.output import for_people, json_option, note, print_json
from admit.cli.store import GROUP, print_table, service_of, where

if TYPE_CHECKING:
    from pathlib import Path

_THUMBPRINT: Final = re.compile(r"-[A-Za-z0-9_-]{42}")  # RFC 7638, those that look like an option


@click.group(cls=Group, context_settings=GROUP)
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
