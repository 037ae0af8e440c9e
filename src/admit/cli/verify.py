"""`jwt verify`: the signature first, then everything that is wrong with the claims at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from admit import clock
from admit.cli.exits import Exit, Stop, exit_code
from admit.cli.input import read_token, token_argument
from admit.cli.keyfile import KeyOptions, key_options
from admit.cli.output import for_people, json_option, note, print_fields, print_json, print_sections
from admit.cli.times import parse_span, relative, span
from admit.cli.trust import trust_in
from admit.errors import ExpiredToken, ImmatureToken, InvalidToken, OverlongToken, WrongType, shown
from admit.jose import header as headers
from admit.jose.encoding import b64url_decode, json_object
from admit.jose.jws import split
from admit.tokens import presets
from admit.tokens.arguments import Unchecked
from admit.tokens.kinds import ACCESS, PLAIN, Kind
from admit.tokens.verdict import failures
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    from admit.jose.header import Header
    from admit.tokens.claims import Claims

KINDS: Final = {kind.name: kind for kind in (PLAIN, ACCESS, *presets.ALL)}
_LONGEST: Final = timedelta(days=36500)


@click.command()
@token_argument
@key_options("sig")
@click.option("--jwks", metavar="URL", help="The keys in the JWK Set at URL.")
@click.option("--discover", is_flag=True, help="The keys that --issuer publishes, and what it revoked.")
@click.option(
    "--iss", "--issuer", "issuers", multiple=True, metavar="ISSUER", help="Who must have issued it; may be repeated."
)
@click.option(
    "--aud", "--audience", "audiences", multiple=True, metavar="AUDIENCE", help="For whom; one of them is enough."
)
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    metavar="KIND",
    help=f"What kind of token: {', '.join(KINDS)}.  [default: plain]",
)
@click.option(
    "--unchecked", is_flag=True, help="Leave out what is not said of issuer, audience, kind and life. Dangerous."
)
@click.option("--leeway", default="0s", metavar="TIME", help="How long after exp it still passes, at most 60s.")
@click.option("--max-lifetime", metavar="TIME", help="The longest exp - iat, as 30d.  [default: 1d]")
@json_option
@click.option(
    "--field", "fields", multiple=True, metavar="NAME", help="Only this claim (or header.NAME); may be repeated."
)
@click.option("-q", "--quiet", is_flag=True, help="Write nothing: the exit code is the answer.")
def verify(
    token: tuple[str, ...],
    keys: KeyOptions,
    jwks: str | None,
    discover: bool,
    issuers: tuple[str, ...],
    audiences: tuple[str, ...],
    kind: str | None,
    unchecked: bool,
    leeway: str,
    max_lifetime: str | None,
    as_json: bool,
    fields: tuple[str, ...],
    quiet: bool,
) -> int:
    """Verify a token: its signature with the keys named, fetched or discovered, then its issuer, audience, kind and times.

    Where the signature fails, nothing is said of the claims. Where it holds, all that is wrong is said at once, and the
    exit code is that of the first in the order of verification.
    """
    if not unchecked and not (issuers and audiences):
        missing = " and ".join(name for name, given in (("--issuer", issuers), ("--audience", audiences)) if not given)
        raise click.UsageError(f"{missing} missing: say who issued it and for whom, or --unchecked to leave that out")
    longest = Unchecked(parse_span(max_lifetime)) if max_lifetime else Unchecked(_LONGEST) if unchecked else None
    now = clock.system_clock()
    text = read_token(token)
    if text.count(".") == 4:
        raise Stop("the token is encrypted: jwt decrypt opens it, and what is inside can be verified", Exit.MALFORMED)
    accepted: Claims[None] | None = None
    header: Header | None = None
    try:
        header = headers.parse(split(text)[1])
        trust = trust_in(header, keys, jwks, discover, issuers)
        verifier = Verifier(
            trust.keys,
            issuer=issuers or Unchecked(),
            audience=audiences or Unchecked(),
            kind=_kind(kind, header, unchecked),
            leeway=parse_span(leeway),
            max_lifetime=longest,
            revocations=trust.revocations,
            clock=lambda: now,
        )
        wrong = failures(verifier, text, trust.keys, now)
        accepted = None if wrong else verifier.verify(text)
    except InvalidToken as error:
        wrong = (error,)
    if accepted is None or header is None:
        messages = [_words(error, text, now, kind or PLAIN.name) for error in wrong]
        note(f"REFUSED: {'; '.join(messages)}", quiet, "red")
        if not (quiet or fields or for_people(as_json)):
            reasons = [{"code": error.code, "message": said} for error, said in zip(wrong, messages, strict=True)]
            print_json({"verified": False, "failures": reasons})
        return exit_code(wrong[0])
    if quiet:
        return Exit.OK
    given = {"issuer": issuers, "audience": audiences, "kind": kind}
    left_out = [name for name, said in given.items() if unchecked and not said]
    note(f"valid: signed by key {accepted.kid} ({header.alg}), expires {relative(accepted.exp, now)}", color="green")
    if left_out:
        note(f"NOT CHECKED: {', '.join(left_out)}", color="yellow")
    claims = accepted.raw
    if fields:
        print_fields({"header": header.members, "claims": claims}, fields)
    elif for_people(as_json):
        print_sections({"Claims": claims.items()})
    else:
        unsaid = {"unchecked": left_out} if left_out else {}
        print_json({"verified": True, **unsaid, "header": header.members, "claims": claims})
    return Exit.OK


def _kind(name: str | None, header: Header, unchecked: bool) -> Kind:
    if name is not None or not unchecked:
        return KINDS[name or PLAIN.name]
    return Kind(name="any", typ=header.typ or "JWT", other_types=frozenset((header.typ,)))


def _words(error: InvalidToken, token: str, now: float, kind: str) -> str:
    """What failed, as one says it at a terminal. Only failures after the signature speak of claims."""
    if isinstance(error, WrongType):
        typ = headers.parse(split(token)[1]).members.get("typ")
        expected = KINDS[kind].typ
        return f"typ is {shown(typ)}, and --kind {kind} expects {'no typ' if expected is None else repr(expected)}"
    if not isinstance(error, ExpiredToken | ImmatureToken | OverlongToken):
        return str(error)
    claims = json_object(b64url_decode(split(token)[2]))
    exp, iat, nbf = claims.get("exp", now), claims.get("iat", now), claims.get("nbf", now)
    if isinstance(error, ExpiredToken):
        return f"expired {relative(exp, now)}"
    if isinstance(error, OverlongToken):
        return f"it lives {span(exp - iat)}, longer than is accepted (see --max-lifetime)"
    name, at = ("iat", iat) if iat >= nbf else ("nbf", nbf)
    return f"not valid yet: {name} is {relative(at, now)}; do the clocks agree?"
