"""`jwt jwks`: sets of public keys, as issuers publish them (RFC 7517 5)."""

from __future__ import annotations

from typing import Any, Final

import click

from admit.cli.exits import Exit
from admit.cli.files import FILE
from admit.cli.group import CONTEXT, Group
from admit.cli.jwks_server import serve_keys
from admit.cli.keyfile import alg_option, read_keys
from admit.cli.output import for_people, json_option, note, paint, print_json, safe, to_json, write_file
from admit.cli.remote_keys import document, keys_at, members_of, without_private
from admit.errors import AdmitError
from admit.jose.jwk import PRIVATE_MEMBERS
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.remote.fetch import Fetcher
from admit.remote.jwks import ALGORITHMS
from admit.remote.metadata import fetch_metadata

source_argument: Final = click.argument("source", metavar="URL | FILE | -", type=FILE)


@click.group(cls=Group, context_settings=CONTEXT)
def jwks() -> None:
    """Fetch, look at, compare and serve sets of public keys."""


@jwks.command()
@click.argument("url")
@click.option("--issuer", "by_issuer", is_flag=True, help="URL is an issuer: find its keys in its metadata.")
@alg_option
@click.option("--out", metavar="FILE", type=FILE, help="Write them to a file instead of stdout.")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def fetch(url: str, by_issuer: bool, alg: str | None, out: str | None, force: bool) -> None:
    """Fetch the public keys at URL, and write those that can be used as a JWK Set.

    What is passed over is said on stderr. Only https, and http on loopback; redirects are not followed.
    """
    where = str(fetch_metadata(Fetcher(), url).members.get("jwks_uri")) if by_issuer else url
    keys = keys_at(where, alg, url if by_issuer else None)
    for problem in keys.problems:
        note(f"passed over: {problem}", color="yellow")
    found = keys.to_jwks()
    if out is None:
        print_json(found)
        return
    write_file(out, (to_json(found, 2) + "\n").encode(), force)
    note(f"{len(keys)} key{'s' * (len(keys) != 1)} in {out}")


@jwks.command()
@source_argument
@json_option
def show(source: str, as_json: bool) -> None:
    """Say what each key of a set is, and which of them verifiers pass over."""
    rows = [_described(entry) for entry in members_of(source, document(source))]
    if not for_people(as_json):
        print_json(rows)
        return
    for row in rows:
        problem = row.pop("problem", None)
        kid = paint(safe(str(row.pop("kid") or "(no kid)")), "cyan")
        click.echo("  ".join([kid, *(safe(str(value)) for value in row.values() if value)]))
        if problem:
            click.echo(f"    {paint('passed over', 'yellow')}: {safe(problem)}")
    note(f"{len(rows)} key{'s' * (len(rows) != 1)}")


@jwks.command()
@click.argument("old", metavar="OLD", type=FILE)
@click.argument("new", metavar="NEW", type=FILE)
@json_option
def diff(old: str, new: str, as_json: bool) -> int:
    """Compare two sets of keys, each a URL or a file; ends with 18 where they differ.

    A key that keeps its kid and becomes another key is what an attacker's replacement looks like.
    """
    before, after = (_by_kid(members_of(source, document(source))) for source in (old, new))
    found = {
        "removed": [kid for kid in before if kid not in after],
        "added": [kid for kid in after if kid not in before],
        "changed": [kid for kid in after if kid in before and after[kid] != before[kid]],
        "same": [kid for kid in after if after[kid] == before.get(kid)],
    }
    if not for_people(as_json):
        print_json(found)
    for word, color, sign in (("removed", "red", "-"), ("added", "green", "+"), ("changed", "yellow", "!")):
        for kid in found[word] if for_people(as_json) else ():
            click.echo(paint(f"{sign} {safe(kid)}", color) + (" (the same kid, another key)" if sign == "!" else ""))
    differs = bool(found["removed"] or found["added"] or found["changed"])
    note(f"{len(found['same'])} the same" if differs else "The sets are the same.")
    return Exit.DIFFERENT if differs else Exit.OK


@jwks.command()
@click.argument("files", metavar="FILE...", nargs=-1, type=FILE, required=True)
@alg_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="The port; 0 for any.")
@click.option("--issuer", help="What the metadata says the issuer is.  [default: the URL it listens on]")
def serve(files: tuple[str, ...], alg: str | None, host: str, port: int, issuer: str | None) -> None:
    """Serve the public halves of keys at /.well-known/jwks.json, with metadata that points there, to try a verifier.

    The files are read again for every request, so that a rotation can be tried. Ctrl-C stops it.
    """

    def current() -> dict[str, Any]:
        return KeySet([key.public() for file in files for key in read_keys(file, alg)]).to_jwks()

    current()  # what cannot be served is said now
    serve_keys(current, host, port, issuer)


def _described(entry: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"kid": entry.get("kid"), "kty": entry.get("kty"), "crv": entry.get("crv")}
    row |= {"alg": entry.get("alg"), "use": entry.get("use")}
    if not PRIVATE_MEMBERS.isdisjoint(entry) or entry.get("kty") == "oct":
        return row | {"problem": "it publishes a secret or a private key: everybody can sign with it now"}
    try:
        key = Key.from_jwk(without_private(entry), algorithms=ALGORITHMS)
    except AdmitError as error:
        return row | {"problem": str(error).replace("pass alg=", "whoever uses it says --alg")}
    return row | {"alg": key.alg, "thumbprint": key.thumbprint()}


def _by_kid(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each entry under its kid; one without kid under its number."""
    return {
        str(entry["kid"]) if "kid" in entry else f"(no kid, number {number})": without_private(entry)
        for number, entry in enumerate(entries, 1)
    }
