"""`jwt verify`: the signature first, then everything that is wrong with the claims at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import click

from admit import clock
from admit.cli.exits import Exit
from admit.cli.input import read_token, token_argument
from admit.cli.judge import KINDS, Expected, Judge
from admit.cli.keyfile import KeyOptions, key_options
from admit.cli.output import for_people, json_option, note, print_fields, print_json, print_sections
from admit.cli.scan import scan_option, tokens_given
from admit.cli.times import parse_span
from admit.cli.verdicts import judge_all
from admit.tokens.arguments import Unchecked

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
@scan_option("Judge every token in a file or log; may be repeated; - is stdin.")
@click.option("-q", "--quiet", is_flag=True, help="No remark, and no answer but --field and the exit code.")
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
    logs: tuple[str, ...],
    quiet: bool,
) -> int:
    """Verify a token: its signature with the keys named, fetched or discovered, then its issuer, audience, kind and times.

    Where the signature fails, nothing is said of the claims. Where it holds, all that is wrong is said at once, and the
    exit code is that of the first in the order of verification.

    With --scan every token of a file or log is judged, one line of text or JSON each: where it stands and the verdict, never
    the token. The exit code is then the lowest of those that single tokens would end with, from 10 on; 15 where there is
    no token at all; 130 where Ctrl-C cut it short, with what was judged until then.
    """
    if jwks is not None and "://" not in jwks:
        raise click.UsageError("--jwks takes a URL; a JWK Set in a file is --key FILE")
    if not unchecked and not (issuers and audiences):
        missing = " and ".join(name for name, given in (("--issuer", issuers), ("--audience", audiences)) if not given)
        raise click.UsageError(f"{missing} missing: say who issued it and for whom, or --unchecked to leave that out")
    longest = Unchecked(parse_span(max_lifetime)) if max_lifetime else Unchecked(_LONGEST) if unchecked else None
    expected = Expected(keys, jwks, discover, issuers, audiences, kind, unchecked, parse_span(leeway), longest)
    judge = Judge(expected, clock.system_clock())
    if logs:
        if fields:
            raise click.UsageError("--field is for one token, and --scan for many")
        return judge_all(judge, tokens_given(token, logs), as_json, quiet)
    verdict = judge.verdict(read_token(token))
    header, accepted = verdict.header, verdict.accepted
    if accepted is None or header is None:
        note(verdict.said(judge.now), quiet, "red")
        if not (quiet or fields or for_people(as_json)):
            print_json({"verified": False, "failures": verdict.reasons})
        return verdict.code
    note(verdict.said(judge.now), quiet, "green")
    if expected.left_out:
        note(f"NOT CHECKED: {', '.join(expected.left_out)}", quiet, "yellow")
    claims = accepted.raw
    if fields:
        print_fields({"header": header.members, "claims": claims}, fields)
    elif quiet:
        pass
    elif for_people(as_json):
        print_sections({"Claims": claims.items()})
    else:
        unsaid = {"unchecked": expected.left_out} if expected.left_out else {}
        print_json({"verified": True, **unsaid, "header": header.members, "claims": claims})
    return Exit.OK
