"""`jwt login`, `jwt refresh`, `jwt logout`: one's own session with a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from admit import clock
from admit.cli.exits import Exit, Stop
from admit.cli.input import prompt
from admit.cli.output import note
from admit.cli.password import password_options, read_password
from admit.cli.service_call import Refused, base_url, post
from admit.cli.times import relative
from admit.cli.token_store import Kept, forget, keep, kept_in, ready, store_option, tokens_option
from admit.remote.fetch import Fetcher
from admit.remote.metadata import fetch_metadata

_print = click.option("--print", "show", is_flag=True, help="Print the access token on stdout, for $(...).")


@click.command()
@click.argument("url")
@click.option("--user", required=True, metavar="NAME", help="The user's name.")
@click.option("--scope", metavar="SCOPES", help="Scopes, separated by spaces.")
@click.option("--audience", help="For whom the token is.")
@click.option("--otp", help="The code of the second factor, used up at once; asked for where it is needed.")
@password_options
@tokens_option
@store_option
@_print
def login(
    url: str,
    user: str,
    scope: str | None,
    audience: str | None,
    otp: str | None,
    password_stdin: bool,
    password_env: str | None,
    tokens: Path | None,
    store: str | None,
    show: bool,
) -> None:
    """Log in to the service at URL, and keep the tokens where only you can read them: in the system's keyring where
    there is one (pip install 'admit[keyring]'), else in a file of mode 0600. A session that was kept there is ended.
    """
    base = base_url(url)
    ready(tokens, store)
    fetch_metadata(
        Fetcher(), base
    )  # before anything is asked or ended: it is there, and tokens of that name are its own
    wanted = {
        "username": user,
        "password": read_password(password_stdin, password_env),
        "scope": scope,
        "audience": audience,
        "otp": otp,
    }
    form = {name: value for name, value in wanted.items() if value}
    try:
        answer = post(f"{base}/login", form)
    except Refused as refused:
        if refused.error != "mfa_required" or otp:
            raise
        answer = post(f"{base}/login", form | {"otp": prompt("code", instead="--otp CODE")})
    _end_kept(tokens)
    _keep(tokens, base, user, answer, show, store)


@click.command()
@tokens_option
@_print
def refresh(tokens: Path | None, show: bool) -> None:
    """Get a new access token with the refresh token that `jwt login` kept."""
    kept = kept_in(tokens)
    answer = post(f"{kept.url}/token", {"grant_type": "refresh_token", "refresh_token": kept.refresh_token})
    _keep(tokens, kept.url, kept.user, answer, show)


@click.command()
@tokens_option
@click.option("--forget", "only_forget", is_flag=True, help="Only remove the tokens, as where the service is gone.")
def logout(tokens: Path | None, only_forget: bool) -> None:
    """End the session that `jwt login` began, and forget its tokens."""
    if only_forget:
        forget(tokens)
        note("No tokens are kept any more. At its service the session lives on until it ends.")
        return
    kept = kept_in(tokens)
    try:
        _end(kept)
    except Stop as stop:
        raise Stop(f"{stop}; jwt logout --forget only removes the tokens", stop.code) from None
    forget(tokens)
    note("Logged out.")


def _end(kept: Kept) -> None:
    post(f"{kept.url}/logout", {"refresh_token": kept.refresh_token})


def _end_kept(tokens: Path | None) -> None:
    """End the session whose tokens a new one's replace. Where that fails the new one is kept all the same."""
    try:
        kept = kept_in(tokens)
    except Stop:
        return
    try:
        _end(kept)
        note(f"The session of {kept.user} at {kept.url} that was kept is ended.")
    except Stop as stop:
        note(f"The session of {kept.user} at {kept.url} that was kept lives on: {stop}", color="yellow")


def _keep(
    tokens: Path | None, url: str, user: str, answer: dict[str, Any], show: bool, store: str | None = None
) -> None:
    access, refresh_token, lifetime = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not isinstance(refresh_token, str) or not isinstance(lifetime, int):
        raise Stop("the service's answer has no tokens", Exit.NETWORK)
    now = clock.system_clock()
    where = keep(tokens, Kept(url, user, int(now) + lifetime, access, refresh_token), store)
    if show:
        click.echo(access)
    else:
        note(f"The tokens are in {where}; the access token expires {relative(now + lifetime, now)}.")
