"""`jwt introspect`: what a service says of a token (RFC 7662)."""

from __future__ import annotations

from pathlib import Path

import click

from admit.cli.exits import Exit, Stop
from admit.cli.input import token_argument
from admit.cli.output import for_people, json_option, note, print_json, print_sections
from admit.cli.service_call import base_url, client_options, credentials, post, url_option
from admit.cli.token_store import given_or_kept, kept_in, tokens_option


@click.command()
@token_argument
@url_option
@client_options
@tokens_option
@json_option
def introspect(
    token: tuple[str, ...],
    url: str | None,
    client_id: str | None,
    secret_file: str | None,
    secret_env: str | None,
    secret_prompt: bool,
    tokens: Path | None,
    as_json: bool,
) -> int:
    """Ask a service whether a token is active, and what it says; without one, not even on stdin, about the access token
    that `jwt login` kept.

    Services answer clients that authenticate; here by a secret. A client with a key asks by an assertion (RFC 7523), which
    admit.client_assertion makes in Python. Ends with 16 where the token is not active, whatever the reason.
    """
    client = credentials(client_id, secret_file, secret_env, secret_prompt)
    if "client_secret" not in client:
        raise Stop("a service answers clients only: give --client-id and --client-secret-file, -env or -prompt")
    chosen = given_or_kept(token, tokens)
    answer = post(f"{base_url(url or kept_in(tokens).url)}/introspect", {"token": chosen.token} | client)
    active = answer.get("active") is True
    if for_people(as_json):
        print_sections({"The service says": list(answer.items())})
    else:
        print_json(answer)
    note(f"{'active' if active else 'not active'}: {chosen.name}", color="green" if active else "red")
    return Exit.OK if active else Exit.REVOKED
