"""A request to a token service, and its answer. Passwords and tokens go in the body, over https or on loopback only."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import click
import httpx2

from admit import __version__
from admit.cli.exits import Exit, Stop
from admit.cli.files import FILE
from admit.cli.input import read_secret
from admit.cli.output import safe
from admit.errors import shown
from admit.remote.fetch import is_loopback

_SECONDS: Final = 10.0
_AGENT: Final = {"User-Agent": f"jwt/{__version__}"}  # the device, in the list of one's sessions


class Refused(Stop):
    """The service refused; `error` is its code."""

    def __init__(self, message: str, code: Exit, error: str) -> None:
        super().__init__(message, code)
        self.error = error


def base_url(url: str) -> str:
    """The service's URL, if what is sent there cannot be read on the way. Raises Stop."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise Stop("the service's URL is https://..., or http:// on loopback: a password would travel in the clear")
    if parts.username or parts.query or parts.fragment:
        raise Stop("the service's URL has no user, query or fragment")
    return url.rstrip("/")


def post(url: str, form: dict[str, str]) -> dict[str, Any]:
    """The answer to a form. Raises Stop with the exit code: refused, or the service cannot be reached."""
    try:
        response = httpx2.post(url, data=form, headers=_AGENT, timeout=_SECONDS)
        body = response.json() if response.content else {}
    except httpx2.HTTPError as failed:
        cause = f"{type(failed).__name__}: {shown(str(failed), 160)}"
        raise Stop(f"{safe(url)} does not answer: {cause}", Exit.NETWORK) from None
    except ValueError:
        raise Stop(f"{safe(url)} does not answer as a token service", Exit.NETWORK) from None
    if not isinstance(body, dict):
        raise Stop(f"{safe(url)} does not answer as a token service", Exit.NETWORK)
    if response.is_success:
        return body
    code = Exit.NETWORK if response.status_code in (429, 503) or response.status_code >= 500 else Exit.REFUSED
    error = str(body.get("error") or response.status_code)
    raise Refused(f"refused: {safe(str(body.get('error_description') or error))[:200]}", code, error)


url_option: Final = click.option("--url", metavar="URL", help="The service.  [default: where jwt login logged in]")


def client_options(command: Any) -> Any:
    """Add the options that name a client; the command gets client_id, secret_file, secret_env and secret_prompt."""
    for option in (
        click.option("--client-secret-prompt", "secret_prompt", is_flag=True, help="Ask for the client's secret."),
        click.option("--client-secret-env", "secret_env", metavar="NAME", help="It, in an environment variable."),
        click.option(
            "--client-secret-file", "secret_file", metavar="FILE", type=FILE, help="The client's secret, in a file."
        ),
        click.option("--client-id", metavar="ID", help="The client that asks."),
    ):
        command = option(command)
    return command


def credentials(client_id: str | None, file: str | None, variable: str | None, ask: bool) -> dict[str, str]:
    """A client's id and secret as form members (RFC 6749 2.3.1); none where no client is named."""
    secret = read_secret(file, variable, ask, "client secret")
    if client_id is None:
        if secret is not None:
            raise Stop("the secret of which client? say it with --client-id")
        return {}
    return {"client_id": client_id} | ({"client_secret": secret.decode("utf-8", "replace")} if secret else {})
