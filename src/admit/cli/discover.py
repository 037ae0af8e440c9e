"""`jwt discover`: what an issuer publishes about itself."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import click

from admit.cli.exits import Exit, Stop
from admit.cli.output import for_people, json_option, note, print_json, print_sections
from admit.cli.remote_keys import keys_at
from admit.errors import Unavailable
from admit.remote.fetch import Fetcher, is_loopback
from admit.remote.metadata import fetch_metadata

_FIRST: Final = ("issuer", "jwks_uri", "token_endpoint", "revocation_endpoint", "introspection_endpoint")


@click.command()
@click.argument("issuer")
@json_option
def discover(issuer: str, as_json: bool) -> int:
    """Fetch the metadata of ISSUER (the exact URL that is in its tokens' iss), and its keys; say what is amiss with them.

    It is looked for where RFC 8414 and OpenID Connect put it.
    """
    found = fetch_metadata(Fetcher(), issuer)
    problems = _amiss(found.members)
    keys: list[dict[str, Any]] = []
    code = Exit.OK
    try:
        keys_found = keys_at(str(found.members.get("jwks_uri")), None, issuer)
    except (Stop, Unavailable) as error:
        problems.append(f"its keys cannot be had: {error}")
        code = Exit.NETWORK
    else:
        problems += [f"passed over: {problem}" for problem in keys_found.problems]
        keys = [{"kid": key.kid, "alg": key.alg, "thumbprint": key.thumbprint()} for key in keys_found]
    if for_people(as_json):
        members = found.members
        rows: list[tuple[str, object]] = [(name, members[name]) for name in _FIRST if name in members]
        rows += [(name, value) for name, value in members.items() if name not in _FIRST]
        print_sections({f"Metadata at {found.url}": rows, "Keys": [(key["kid"], key["alg"]) for key in keys]})
    else:
        print_json({"url": found.url, "metadata": found.members, "keys": keys, "problems": problems})
    for problem in problems:
        note(problem, color="yellow")
    return code


def _amiss(members: dict[str, Any]) -> list[str]:
    """What is dangerous in the metadata itself."""
    problems: list[str] = []
    for name, value in members.items():
        if name.endswith(("_endpoint", "_uri")) and isinstance(value, str) and value.lower().startswith("http://"):
            try:
                host = urlsplit(value).hostname or ""
            except ValueError:
                host = ""
            if not is_loopback(host):
                problems.append(f"{name} is plain http: whoever is on the way reads and changes what goes there")
    algorithms = members.get("id_token_signing_alg_values_supported")
    if isinstance(algorithms, list) and any(str(alg).lower() == "none" for alg in algorithms):
        problems.append("it offers ID tokens with alg none, which are not signed")
    return problems
