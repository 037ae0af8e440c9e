"""`jwt revoke`: cut a token off before its end (RFC 7009)."""

from __future__ import annotations

from pathlib import Path

import click

from admit.cli.input import token_argument
from admit.cli.output import note
from admit.cli.service_call import base_url, client_options, credentials, post, url_option
from admit.cli.token_store import given_or_kept, kept_in, tokens_option


@click.command()
@token_argument
@url_option
@client_options
@tokens_option
def revoke(
    token: tuple[str, ...],
    url: str | None,
    client_id: str | None,
    secret_file: str | None,
    secret_env: str | None,
    secret_prompt: bool,
    tokens: Path | None,
) -> None:
    """Revoke a token at its service; without one, not even on stdin, the access token that `jwt login` kept.

    `jwt logout` ends the whole session.
    A client revokes its own tokens only, with --client-id and its secret. An unknown token is answered like a known one
    (RFC 7009 2.2).
    """
    client = credentials(client_id, secret_file, secret_env, secret_prompt)
    chosen = given_or_kept(token, tokens)
    post(f"{base_url(url or kept_in(tokens).url)}/revoke", {"token": chosen.token} | client)
    note(
        f"The service took {chosen.name}. If it knows it, whoever follows its list of what was revoked refuses it from now on;"
        " what it does not know it answers alike (RFC 7009 2.2)."
    )
