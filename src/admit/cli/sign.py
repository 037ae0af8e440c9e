"""`jwt sign`: make a token with a key of one's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import click

from admit import clock
from admit.cli.exits import Stop
from admit.cli.files import AT_FILE
from admit.cli.input import read_bytes
from admit.cli.keyfile import KeyOptions, key_options
from admit.cli.output import note
from admit.cli.times import parse_span, relative, span
from admit.errors import MalformedToken
from admit.jose import jws
from admit.jose.encoding import b64url_decode, json_object
from admit.tokens.kinds import ACCESS, PLAIN
from admit.tokens.signer import Signer

_KINDS: Final = {kind.name: kind for kind in (PLAIN, ACCESS)}
_OPTIONS: Final = {"aud": "--aud", "sub": "--sub", "client_id": "--client-id"}
_OWN: Final = frozenset(("alg", "kid", "typ"))


@click.command()
@key_options("sig")
@click.option("--iss", "--issuer", "issuer", required=True, metavar="ISSUER", help="Who issues it.")
@click.option("--sub", metavar="SUBJECT", help="Whom it is about.")
@click.option("--aud", "--audience", "audiences", multiple=True, metavar="AUDIENCE", help="For whom; may be repeated.")
@click.option("--client-id", metavar="ID", help="The client it is issued to; access tokens need it.")
@click.option("--scope", metavar="SCOPES", help="The scopes, with spaces between them.")
@click.option("--claims", metavar="JSON | @FILE | -", type=AT_FILE, help="Further claims, as a JSON object.")
@click.option(
    "--kind", type=click.Choice(list(_KINDS)), default=PLAIN.name, show_default=True, help="What kind of token."
)
@click.option("--lifetime", default="10m", show_default=True, metavar="TIME", help="How long it lives: 30s, 10m, 2h.")
@click.option(
    "--allow-claim", "allowed", multiple=True, metavar="NAME", help="A claim that is named like a secret and is none."
)
@click.option("--jti", metavar="ID", help="Its id.  [default: random]")
@click.option(
    "--header", "parameters", multiple=True, metavar="NAME=TEXT", help="A further header parameter; may be repeated."
)
@click.option("--iat", "shift", metavar="-TIME | +TIME", help="Issue it that long ago, or later, to test a verifier.")
@click.option("-q", "--quiet", is_flag=True, help="No remark on stderr.")
def sign(
    keys: KeyOptions,
    issuer: str,
    sub: str | None,
    audiences: tuple[str, ...],
    client_id: str | None,
    scope: str | None,
    claims: str | None,
    kind: str,
    lifetime: str,
    allowed: tuple[str, ...],
    jti: str | None,
    parameters: tuple[str, ...],
    shift: str | None,
    quiet: bool,
) -> None:
    """Sign a token, and write it to stdout.

    iat, exp and jti are set here. Claims that hold a secret, by name or by structure, are refused: anyone reads them.

    `--iat -1h` makes a token that has expired already, and `--iat +1h` one from the future: a verifier must refuse both.
    """
    given = {"aud": audiences, "sub": sub, "client_id": client_id}
    missing = [option for name, option in _OPTIONS.items() if name in _KINDS[kind].required and not given[name]]
    if missing:
        raise click.UsageError(f"a token of kind {kind} needs {' and '.join(missing)} too.")
    life = parse_span(lifetime)
    longest = _KINDS[kind].max_lifetime
    if not timedelta() < life <= longest:
        raise Stop(f"a token of kind {kind} lives longer than 0 s, and at most {span(longest.total_seconds())}")
    further, others = _claims(claims), _header(parameters)
    away = _away(shift)
    now = clock.system_clock() + away
    key = keys.one()
    signer = Signer(
        key,
        issuer=issuer,
        # one audience is written as a string, as most readers of tokens expect (RFC 7519 4.1.3)
        audience=(audiences[0] if len(audiences) == 1 else audiences) if audiences else None,
        lifetime=life,
        kind=_KINDS[kind],
        allow_claims=allowed,
        clock=lambda: now,
    )
    token = signer.sign(sub=sub, client_id=client_id, scope=scope, claims=further, jti=jti)
    if others:
        token = jws.sign(key, b64url_decode(jws.split(token)[2]), typ=_KINDS[kind].typ, header=others)
    note(f"signed by key {key.kid} ({key.alg}), good for {span(life.total_seconds())}", quiet)
    if away:  # said in any case: such a token is not to be taken for one that works
        told = [
            f"{name} is {relative(at, now - away)}" for name, at in (("iat", now), ("exp", now + life.total_seconds()))
        ]
        note(f"FOR TESTS: {', '.join(told)}", color="yellow")
    click.echo(token)


def _header(given: tuple[str, ...]) -> dict[str, str]:
    members = dict(each.split("=", 1) for each in given if "=" in each)
    if len(members) != len(given) or "" in members or not _OWN.isdisjoint(members):
        raise click.UsageError(
            f"--header is NAME=TEXT, each name once; {', '.join(sorted(_OWN))} are set by the key and --kind."
        )
    return members


def _away(shift: str | None) -> float:
    """Seconds from now, of "-1h" or "+30s"."""
    if shift is None:
        return 0.0
    if shift[:1] not in ("-", "+"):
        raise click.UsageError("--iat is a length of time from now, as -1h or +30s.")
    return float(f"{shift[0]}{parse_span(shift[1:]).total_seconds()}")


def _claims(given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    source = "stdin" if given == "-" else given[1:] if given.startswith("@") else "--claims"
    data = (
        given.encode("utf-8", "surrogateescape")
        if source == "--claims"
        else read_bytes("-" if given == "-" else given[1:])
    )
    try:
        return json_object(data)
    except MalformedToken as error:
        raise Stop(f"{source}: {error}") from None
