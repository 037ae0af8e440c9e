"""`jwt explain`: a token in plain words, believed by nobody."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import click

from admit import clock
from admit.cli.advice import must_check
from admit.cli.decode import remind, tell_damage
from admit.cli.glossary import Term, claim_term, header_term
from admit.cli.input import read_token, token_argument
from admit.cli.lint import advice, as_json_finding, findings, severity
from admit.cli.output import for_people, is_time_claim, json_option, paint, print_json, safe, to_json
from admit.cli.reading import read
from admit.cli.timeline import FINE, PLAIN, bar, state, times_of
from admit.cli.times import moment, relative

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.tokens.finding import Finding, Subject

_PARTS: Final = ("red", "magenta", "cyan")
_JWE_PARTS: Final = ("red", "yellow", "green", "magenta", "cyan")
_WIDEST: Final = 100
_NAME: Final = 9  # characters: client_id, the longest of the usual names


@click.command()
@token_argument
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Do not remind of what is not verified.")
def explain(token: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Explain a token: each header parameter and claim in plain words, with the section of the standard; where now lies
    between its times; what whoever receives it must check; and what `jwt lint` finds. Nothing is verified.

    A damaged token is explained as far as it can be read, and ends with 15.
    """
    subject = read(read_token(token))
    now = clock.system_clock()
    found = findings(subject)
    remind(subject, quiet)
    if for_people(as_json):
        _tell(subject, found, now)
    else:
        print_json(_told(subject, found, now))
    return tell_damage(subject)


def _tell(subject: Subject, found: list[Finding], now: float) -> None:
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    click.echo(colored(subject.token))
    named = "Encrypted" if subject.sealed else "Claims"
    _heading("Header")
    for name, value in subject.header.items():
        _entry(name, to_json(value), header_term(name, value, subject.sealed), width)
    _heading(named)
    if subject.sealed:
        click.echo(_wrapped("Only who has the key can read the claims: jwt decrypt.", width, "  "))
    for name, value in subject.claims.items():
        _entry(name, _value(name, value, now), claim_term(name), width)
    times = times_of(subject.claims)
    if times:
        _heading("Time")
        click.echo(f"  {state(times, now)}")
        for line in bar(times, now, width - 4, _style()):
            click.echo(f"  {line}")
    _heading("Whoever receives it must check")
    for number, line in enumerate(must_check(subject), 1):
        click.echo(_wrapped(line, width, "     ", f"{number:>3}. "))
    _heading(f"Lint: {len(found) or 'no'} finding{'s' * (len(found) != 1)}")
    for finding in found:
        click.echo(f"  {severity(finding)}: {safe(finding.message)} [{finding.rule.id}]")
        click.echo(advice(finding, "      ", width))


def _told(subject: Subject, found: list[Finding], now: float) -> dict[str, Any]:
    times = times_of(subject.claims)
    return {
        "verified": False,
        "header": _terms(
            (name, value, header_term(name, value, subject.sealed)) for name, value in subject.header.items()
        ),
        "claims": [
            each | _moment(each["name"], each["value"], now)
            for each in _terms((name, value, claim_term(name)) for name, value in subject.claims.items())
        ],
        "time": {"now": int(now), **({"state": state(times, now)} if times else {})},
        "must_check": must_check(subject),
        "findings": [as_json_finding(finding) for finding in found],
        **({"problems": subject.problems} if subject.problems else {}),
    }


def _terms(rows: Iterable[tuple[str, object, Term]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": value, "meaning": term.meaning, **({"source": term.source} if term.source else {})}
        for name, value, term in rows
    ]


def _moment(name: str, value: object, now: float) -> dict[str, Any]:
    if not is_time_claim(name, value) or not isinstance(value, int | float):
        return {}
    return {"utc": datetime.fromtimestamp(value, UTC).isoformat(), "relative": relative(value, now)}


def colored(token: str) -> str:
    """A token, each of its parts in a color of its own."""
    parts = token.split(".")
    colors = _JWE_PARTS if len(parts) == len(_JWE_PARTS) else _PARTS
    return ".".join(
        paint(safe(part), colors[number]) if number < len(colors) else safe(part) for number, part in enumerate(parts)
    )


def _style() -> Any:
    try:
        "".join(FINE).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return PLAIN
    return FINE


def _heading(title: str) -> None:
    click.echo("\n" + click.style(title, bold=True))


def _value(name: str, value: object, now: float) -> str:
    if not is_time_claim(name, value) or not isinstance(value, int | float):
        return to_json(value)
    return f"{to_json(value)}  {relative(value, now)}  {moment(value)}"


def _entry(name: str, value: str, term: Term, width: int) -> None:
    source = f" [{term.source}]" if term.source else ""
    click.echo(f"  {paint(safe(name).ljust(_NAME), 'cyan')}  {value}")
    click.echo(_wrapped(term.meaning + source, width, " " * (_NAME + 4)))


def _wrapped(text: str, width: int, indent: str, first: str | None = None) -> str:
    return fill(
        safe(text),
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,  # a kid is looked for whole
    )
