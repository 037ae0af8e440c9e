"""`jwt decode`: what a token says, believed by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admit.cli.exits import Exit
from admit.cli.input import read_token, token_argument
from admit.cli.output import for_people, json_option, note, print_fields, print_json, print_sections
from admit.cli.reading import NO_DAMAGE, read

if TYPE_CHECKING:
    from admit.tokens.finding import Subject


@click.command()
@token_argument
@json_option
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME",
    help="Only this claim (or header.NAME, or NAME.MEMBER); may be repeated.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not remind of what is not verified.")
def decode(token: tuple[str, ...], as_json: bool, fields: tuple[str, ...], quiet: bool) -> int:
    """Show a token's header and claims. Nothing is verified: anybody could have written them.

    A damaged or truncated token shows what can be read of it, says what is wrong and where, and ends with 15.
    """
    reading = read(read_token(token))
    remind(reading, quiet)
    if fields:
        damage = tell_damage(reading)
        hidden = ": it is encrypted, and jwt decrypt opens it" if reading.sealed else ""
        members = {"header": reading.header, "claims": reading.claims}
        print_fields(members, fields, as_json, hidden, damage or Exit.CLAIMS)
        return damage
    if for_people(as_json):
        print_sections(_sections(reading))
    else:
        print_json(
            {
                "verified": False,
                **({"encrypted": True} if reading.sealed else {}),
                "header": reading.header,
                **({} if reading.sealed else {"claims": reading.claims}),
                **({"problems": reading.problems} if reading.problems else {}),
            }
        )
    return tell_damage(reading)


def remind(reading: Subject, quiet: bool) -> None:
    """Say that nothing of this is believed."""
    if reading.sealed:
        note("ENCRYPTED: only its header can be read; jwt decrypt opens it with the key.", quiet, "yellow")
    elif reading.header or reading.claims:
        note("UNVERIFIED: anybody could have written this; jwt verify checks the signature.", quiet, "yellow")


def tell_damage(reading: Subject) -> Exit:
    """Say what a strict reader would refuse the token for, and answer the exit code of that."""
    for problem in reading.problems:
        note(problem if problem in NO_DAMAGE else f"damaged: {problem}", color="red")
    return Exit.MALFORMED if reading.problems else Exit.OK


def _sections(reading: Subject) -> dict[str, list[tuple[str, object]]]:
    if reading.sealed:
        return {"Header": list(reading.header.items())}
    return {
        "Header": list(reading.header.items()),
        "Claims": list(reading.claims.items()),
        f"Signature: {reading.signature} bytes, not checked": [],
    }
