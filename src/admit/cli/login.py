"""`jwt login`, `jwt refresh`, `jwt logout`: one's own session with a service; its tokens lie in a file of mode 0600."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import httpx2

from admit import clock
from admit.cli.exits import Exit, Stop
from admit.cli.input import prompt
from admit.cli.output import note, safe, write_file
from admit.cli.password import password_options, read_password
from admit.cli.times import relative

_SECONDS: Final = 10.0
_LOOPBACK: Final = re.compile(r"127(\.\d{1,3}){3}|::1|localhost")

_tokens = click.option(
    "--tokens", type=click.Path(path_type=Path), envvar="ADMIT_TOKENS", help="where the tokens lie [ADMIT_TOKENS]"
)
_print = click.option("--print", "show", is_flag=True, help="print the access token on stdout, for $(...)")


@click.command()
@click.argument("url")
@click.option("--user", required=True, help="the user's name")
@click.option("--scope", help="scopes, separated by spaces")
@click.option("--audience", help="whom the token is for")
@click.option("--otp", help="the code of the second factor, used up at once; asked for where it is needed")
@password_options
@_tokens
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
    show: bool,
) -> None:
    """Log in to the service at URL, and keep the tokens in a file that only you can read."""
    base = _base(url)
    wanted = {
        "username": user,
        "password": read_password(password_stdin, password_env),
        "scope": scope,
        "audience": audience,
        "otp": otp,
    }
    form = {name: value for name, value in wanted.items() if value}
    try:
        answer = _post(f"{base}/login", form)
    except _Refused as refused:
        if refused.error != "mfa_required" or otp:
            raise
        answer = _post(f"{base}/login", form | {"otp": prompt("code")})
    _keep(_path(tokens), base, answer, show)


@click.command()
@_tokens
@_print
def refresh(tokens: Path | None, show: bool) -> None:
    """Get a new access token with the refresh token kept by `jwt login`."""
    path = _path(tokens)
    kept = _kept(path)
    answer = _post(f"{kept['url']}/token", {"grant_type": "refresh_token", "refresh_token": kept["refresh_token"]})
    _keep(path, kept["url"], answer, show)


@click.command()
@_tokens
def logout(tokens: Path | None) -> None:
    """End the session kept by `jwt login`, and remove its tokens."""
    path = _path(tokens)
    kept = _kept(path)
    _post(f"{kept['url']}/logout", {"refresh_token": kept["refresh_token"]})
    path.unlink(missing_ok=True)
    note("Logged out.")


def _path(given: Path | None) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return given or base / "admit" / "tokens.json"


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _LOOPBACK.fullmatch(host)):
        raise Stop("the service's URL is https://..., or http:// on loopback: a password would travel in the clear")
    if parts.username or parts.query or parts.fragment:
        raise Stop("the service's URL has no user, query or fragment")
    return url.rstrip("/")


class _Refused(Stop):
    """The service refused; `error` is its code."""

    def __init__(self, message: str, code: Exit, error: str) -> None:
        super().__init__(message, code)
        self.error = error


def _post(url: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        response = httpx2.post(url, data=form, timeout=_SECONDS)
        body = response.json() if response.content else {}
    except (httpx2.HTTPError, ValueError):
        raise Stop(f"{safe(url)} does not answer as a token service", Exit.NETWORK) from None
    if not isinstance(body, dict):
        raise Stop(f"{safe(url)} does not answer as a token service", Exit.NETWORK)
    if response.is_success:
        return body
    code = Exit.NETWORK if response.status_code in (429, 503) or response.status_code >= 500 else Exit.REFUSED
    error = str(body.get("error") or response.status_code)
    raise _Refused(f"refused: {safe(str(body.get('error_description') or error))[:200]}", code, error)


def _keep(path: Path, url: str, answer: dict[str, Any], show: bool) -> None:
    access, refresh_token, lifetime = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not isinstance(refresh_token, str) or not isinstance(lifetime, int):
        raise Stop("the service's answer has no tokens", Exit.NETWORK)
    now = clock.system_clock()
    kept = {"url": url, "access_token": access, "refresh_token": refresh_token, "expires_at": int(now) + lifetime}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(str(path), json.dumps(kept).encode(), force=True)
    if show:
        click.echo(access)
    else:
        note(f"The tokens are in {path}; the access token expires {relative(now + lifetime, now)}.")


def _kept(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_bytes())
        return {name: str(kept[name]) for name in ("url", "refresh_token")}
    except (OSError, ValueError, KeyError, TypeError):
        raise Stop(f"there are no tokens in {path}; `jwt login` gets some") from None
