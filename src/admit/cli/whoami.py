"""`jwt whoami`: who is logged in, as the service's own keys confirm it."""

from __future__ import annotations

from pathlib import Path

import click

from admit import clock
from admit.cli.exits import Exit, Stop, exit_code
from admit.cli.output import for_people, json_option, note, print_json, print_sections
from admit.cli.times import relative
from admit.cli.token_store import kept_in, tokens_option
from admit.errors import ExpiredToken, InvalidToken, Unavailable
from admit.remote.fetch import Fetcher
from admit.remote.issuer import RemoteIssuer
from admit.remote.metadata import fetch_metadata
from admit.tokens.arguments import Unchecked


@click.command()
@tokens_option
@json_option
def whoami(tokens: Path | None, as_json: bool) -> int:
    """Verify the access token that `jwt login` kept, with the service's keys and its list of what was revoked, and say whose
    it is.

    Ends with 11 where it expired, and with 16 where it was revoked meanwhile.
    """
    kept = kept_in(tokens)
    now = clock.system_clock()
    if kept.expires_at <= now:
        raise Stop(f"the access token expired {relative(kept.expires_at, now)}; jwt refresh gets a new one", Exit.TIME)
    try:
        tells = "revocations_uri" in fetch_metadata(Fetcher(), kept.url).members
        with RemoteIssuer(kept.url, revocations="required" if tells else "none") as issuer:
            claims = issuer.verifier(audience=Unchecked()).verify(kept.access_token)
    except Unavailable as error:
        raise Stop(str(error), Exit.NETWORK) from None
    except ExpiredToken:
        raise Stop("the access token expired; jwt refresh gets a new one", Exit.TIME) from None
    except InvalidToken as error:
        raise Stop(f"{kept.url} does not confirm it: {error}; jwt login begins anew", exit_code(error)) from None
    raw = claims.raw
    told = {"service": kept.url, "user": kept.user}
    told |= {name: raw[name] for name in ("sub", "client_id", "scope", "aud", "sid", "auth_time", "exp") if name in raw}
    if for_people(as_json):
        print_sections({"Logged in": list(told.items())})
    else:
        print_json(told)
    note("Confirmed by the service's keys" + (" and its list of what was revoked." if tells else "."), color="green")
    return Exit.OK
