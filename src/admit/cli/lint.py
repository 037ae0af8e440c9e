"""`jwt lint`: what is dangerous about a token, whoever made it, and how to mend it."""

from __future__ import annotations

import contextlib
import sys
from textwrap import fill
from typing import TYPE_CHECKING, Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.files import FILE
from admit.cli.input import read_bytes, token_argument
from admit.cli.output import for_people, json_option, note, paint, print_json, safe
from admit.cli.reading import read
from admit.cli.sarif import sarif
from admit.cli.scan import scan_option, tokens_given
from admit.tokens.finding import SEVERITIES, Finding
from admit.tokens.guessing import candidates, guess
from admit.tokens.inspect import GUESSABLE, RULES, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admit.cli.scan import Found
    from admit.tokens.finding import Subject

_COLORS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}
_IDS: Final = frozenset(rule.id for rule in RULES)
_AT_ONCE: Final = 20_000  # guesses between two steps of the progress bar


@click.command()
@token_argument
@scan_option("Look at every token in a file or log; - is stdin.")
@click.option("--wordlist", metavar="FILE", type=FILE, help="Also try each line of this file as the HMAC secret.")
@click.option("--no-guess", is_flag=True, help="Do not try common secrets.")
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="RULE",
    help="Leave a rule out; may be repeated.",
    shell_complete=lambda _ctx, _param, begun: sorted(each for each in _IDS if each.startswith(begun)),
)
@click.option(
    "--fail-on",
    type=click.Choice([*SEVERITIES, "never"]),
    default="warning",
    show_default=True,
    help="End with 17 from this severity on.",
)
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), help="How to write the findings.")
@click.option("--rules", is_flag=True, help="Write the list of rules as Markdown, and end.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Write nothing: the exit code is the answer.")
def lint(
    token: tuple[str, ...],
    logs: tuple[str, ...],
    wordlist: str | None,
    no_guess: bool,
    ignored: tuple[str, ...],
    fail_on: str,
    form: str | None,
    rules: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Look for what is dangerous in a token, without verifying it: no signature, no end, no audience, secrets in its claims,
    a guessable HMAC secret, and more. Each rule has an id, a severity, a reason and a mending.

    With --scan every token of a file or log is looked at. No token and no secret is ever written.
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} are two forms: say one of them.")
    if rules:
        click.echo(catalog(), nl=False)
        return Exit.OK
    unknown = sorted(set(ignored) - _IDS)
    if unknown:
        raise Stop(f"there is no rule {safe(unknown[0])[:40]}; jwt lint --rules lists them")
    words = read_words(wordlist) if wordlist else []
    skipped = frozenset(ignored) | (frozenset((GUESSABLE.id,)) if no_guess else frozenset())
    looked_at, results = 0, []
    interrupted = False
    try:
        for found in tokens_given(token, logs):
            results += [(found, finding) for finding in findings(read(found.token), skipped, words)]
            looked_at += 1
    except KeyboardInterrupt:
        interrupted = True
    if not quiet:
        _write(results, looked_at, "json" if as_json else form or ("text" if for_people(False) else "json"), bool(logs))
    if interrupted:
        note(f"Interrupted: that is what was found in {looked_at} token{'s' * (looked_at != 1)}.", quiet)
        return Exit.INTERRUPTED
    limit = SEVERITIES.index(fail_on) if fail_on != "never" else -1
    return Exit.LINT if any(SEVERITIES.index(each.rule.severity) <= limit for _, each in results) else Exit.OK


def findings(
    subject: Subject, ignored: frozenset[str] = frozenset(), words: list[bytes] | None = None
) -> list[Finding]:
    """All that is wrong with a token, its secret guessed too unless that rule is ignored."""
    found = inspect(subject, ignored)
    if GUESSABLE.id not in ignored:
        number = guess(subject, candidates(subject))
        where = "the list of common secrets"
        if number is None and words:
            with _progress(words) as tried:
                number = guess(subject, tried)
            where = "the word list"
        if number is not None:
            found.append(Finding(GUESSABLE, f"the secret is number {number} of {where}"))
    order = [rule.id for rule in RULES]
    return sorted(found, key=lambda each: (SEVERITIES.index(each.rule.severity), order.index(each.rule.id)))


def read_words(path: str) -> list[bytes]:
    """The lines of a word list. Raises Stop where it cannot be read."""
    if path == "-":
        return read_bytes("-").splitlines()
    try:
        with open(path, "rb") as file:
            return [line.rstrip(b"\r\n") for line in file]
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror or type(error).__name__}") from None


def catalog() -> str:
    """Every rule, as Markdown."""
    return "\n".join(
        f"## {rule.id}\n\n**{rule.severity}**: {fill(rule.reason, 116)}\n\nTo mend it: {fill(rule.mending, 116)}\n"
        for rule in RULES
    )


@contextlib.contextmanager
def _progress(words: list[bytes]) -> Iterator[Iterable[bytes]]:
    if len(words) < _AT_ONCE or not sys.stderr.isatty():
        yield words
        return
    with click.progressbar(words, label="guessing", file=sys.stderr, update_min_steps=_AT_ONCE, show_pos=True) as tried:
        yield tried


def _write(results: list[tuple[Found, Finding]], looked_at: int, form: str, scanned: bool) -> None:
    if form == "sarif":
        print_json(sarif(results))
    elif form == "json":
        print_json({"tokens": looked_at, "findings": [_as_json(found, finding) for found, finding in results]})
    else:
        for found, finding in results:
            place = f"{safe(found.where)}: " if scanned else ""
            click.echo(f"{place}{severity(finding)}: {safe(finding.message)} [{finding.rule.id}]")
            if not scanned:
                click.echo(advice(finding, "    "))
        note(f"{looked_at} token{'s' * (looked_at != 1)}, {len(results) or 'no'} finding{'s' * (len(results) != 1)}")


def severity(finding: Finding) -> str:
    """How grave it is, in its color."""
    return paint(finding.rule.severity, _COLORS[finding.rule.severity])


def advice(finding: Finding, indent: str, width: int = 100) -> str:
    """The reason and the mending of a finding, wrapped."""
    return "\n".join(
        fill(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
        for text in (finding.rule.reason, f"Mend: {finding.rule.mending}")
    )


def as_json_finding(finding: Finding) -> dict[str, object]:
    """A finding with all that its rule says."""
    return {
        "rule": finding.rule.id,
        "severity": finding.rule.severity,
        "message": finding.message,
        "reason": finding.rule.reason,
        "mending": finding.rule.mending,
    }


def _as_json(found: Found, finding: Finding) -> dict[str, object]:
    return {**found.place, **as_json_finding(finding)}
