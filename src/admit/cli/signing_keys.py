"""`jwt admin keys`: the keys that sign access tokens and the revocation feed, and the secrets at rest."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from admit import clock
from admit.cli.exits import Stop
from admit.cli.files import FILE
from admit.cli.group import Group, TakesIdentifiers
from admit.cli.key_timeline import timeline
from admit.cli.keyfile import alg_option, password_option, read_keys
from admit.cli.output import for_people, json_option, note, paint, print_json, safe
from admit.cli.serve import read_settings, settings_options
from admit.cli.store import GROUP, service_made_of, service_of
from admit.service import master

if TYPE_CHECKING:
    from pathlib import Path

    from admit.service.results import SigningKey

_where: Final = settings_options(
    "data",
    "database",
    "master_key_file",
    "algorithm",
    "algorithms",
    "access_lifetime",
    "key_lifetime",
    "key_published",
    "key_reload",
    "clock_skew",
    "leeway",
)
_WIDEST: Final = 100


@click.group(cls=Group, context_settings=GROUP)
def keys() -> None:
    """The keys that sign access tokens and the revocation feed, and the master key that wraps them."""


@keys.command("list")
@_where
@json_option
def list_keys(as_json: bool, config: Path | None, **flags: Any) -> None:
    """List every key with its state, and when its next step is due; in a terminal as a timeline.

    pending: the published standby. active: signs. retiring: only verifies. retired, revoked: gone from the JWKS.
    """
    with service_of(config, flags) as service:
        found = service.keys.list()
    if not for_people(as_json):
        print_json([asdict(key) for key in found])
        return
    width = min(shutil.get_terminal_size().columns, _WIDEST) - 4
    fine = (sys.stdout.encoding or "").lower().startswith("utf")
    for parts in timeline(found, clock.system_clock(), max(width, 20), fine=fine):
        click.echo("".join(paint(safe(text), color) if color else safe(text) for text, color in parts).rstrip())


@keys.command("rotate")
@click.option("--alg", metavar="ALG", help="which algorithm's keys; by default the one that is signed with by default")
@click.option("--force", is_flag=True, help="do not wait until every verifier can hold the standby key")
@_where
@json_option
def rotate_keys(alg: str | None, force: bool, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Let the published standby key sign from now on; tokens of the old one stay valid until they expire."""
    with service_of(config, flags) as service:
        key = service.keys.rotate(alg, force=force)
    _print_key(key, as_json)


@keys.command("import")
@click.argument("file", type=FILE)
@alg_option
@password_option
@click.option("--kid", metavar="KID", help="The kid under which verifiers know it, where the file does not say.")
@_where
@json_option
def import_key(
    file: str,
    alg: str | None,
    password_file: str | None,
    kid: str | None,
    as_json: bool,
    config: Path | None,
    **flags: Any,
) -> None:
    """Take in the private key in FILE (PEM, DER or JWK, - for stdin): as the standby that signs next, once verifiers hold it."""
    found = read_keys(file, alg, password_file, kid, "sig")
    if len(found) != 1:
        raise Stop(f"one key is taken in at a time, and {safe(file)} holds {len(found)}")
    with service_made_of(config, flags) as service:
        key = service.keys.add(found[0])
    _print_key(key, as_json)
    note(
        "It is published from now on, and signs after the next rotation: `jwt admin keys list` says when; `jwt admin keys rotate`"
        " makes it sooner."
    )


@keys.command("revoke", cls=TakesIdentifiers)
@click.argument("kid")
@_where
def revoke_key(kid: str, config: Path | None, **flags: Any) -> None:
    """Revoke the key KID for good: it leaves the JWKS, and every token it signed is refused."""
    with service_of(config, flags) as service:
        service.keys.revoke(kid)
    sys.stdout.flush()
    note("The key is revoked; verifiers that follow the revocation feed refuse its tokens within a second.")


@keys.command("retire")
@click.argument("alg")
@_where
def retire_algorithm(alg: str, config: Path | None, **flags: Any) -> None:
    """Take the algorithm ALG out of use, once no process is set to sign with it; its tokens stay valid until they expire."""
    with service_of(config, flags) as service:
        service.keys.retire(alg)
    note(f"No {safe(alg)} key signs any more; the last one leaves the JWKS when its tokens are over.")


@keys.command("rotate-mac")
@_where
def rotate_mac(config: Path | None, **flags: Any) -> None:
    """Give refresh tokens a new MAC key, and what seals their successors a new secret; nobody is logged out."""
    with service_of(config, flags) as service:
        service.keys.rotate_mac()
    note("Made; the old ones are accepted until no live session can hold a token of theirs.")


@keys.command("new-master")
@_where
def new_master(config: Path | None, **flags: Any) -> None:
    """Make the next version of the master key, in a file beside the old one, and print its name.

    Then give it to every process: copy it to every host, and restart them one after the other. Then `rewrap`.
    """
    settings = read_settings(config, flags)
    if master.versions(settings.master_key):
        with service_of(config, flags):
            pass  # it opens what is stored: a version that is in use and was mislaid is not made up anew
    click.echo(str(master.add_version(settings.master_key)))


@keys.command("rewrap")
@_where
@json_option
def rewrap(as_json: bool, config: Path | None, **flags: Any) -> None:
    """Wrap every stored secret under the newest master key; at 0, the files of older ones can go. Nobody is logged out."""
    with service_of(config, flags) as service:
        count, newest = service.keys.rewrap(), service.keys.master_version
    if for_people(as_json):
        click.echo(f"{count} secrets were under an older master key; all are under version {newest} now.")
    else:
        print_json({"rewrapped": count, "master_key_version": newest})


def _print_key(key: SigningKey, as_json: bool) -> None:
    if for_people(as_json):
        click.echo(key.kid)
    else:
        print_json(asdict(key))
