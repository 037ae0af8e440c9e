"""`jwt revoke`: cut a token off before its end (RFC 7009)."""

from __future__ import annotations

from pathlib import Path

import click

from admit.cli.input import read_token, token_argument
from admit.cli.output import note
from admit.cli.service_call import base_url, client_options, credentials, post, url_option
from admit.cli.token_store import kept_in, tokens_option


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
    """Revoke a token at its service; without one, the access token that `jwt login` kept. `jwt logout` ends the whole session.

    A client revokes its own tokens only, with --client-id and its secret. An unknown token is answered like a known one
    (RFC 7009 2.2).
    """
    client = credentials(client_id, secret_file, secret_env, secret_prompt)
    text = read_token(token) if token else kept_in(tokens).access_token
    post(f"{base_url(url or kept_in(tokens).url)}/revoke", {"token": text} | client)
    note("The service took it: whoever follows its list of what was revoked refuses the token from now on.")
