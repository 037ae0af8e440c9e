"""The verdicts on every token of a log: a line each, a count of them, and one exit code."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.exits import Exit
from admit.cli.output import for_people, note, paint, safe, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.cli.judge import Judge, Verdict
    from admit.cli.scan import Found

_NAMES: Final = {
    Exit.SIGNATURE: "bad signature",
    Exit.TIME: "expired or not yet valid",
    Exit.CLAIMS: "not as expected",
    Exit.NO_KEY: "no key",
    Exit.MALFORMED: "malformed",
    Exit.REVOKED: "revoked",
}


def judge_all(judge: Judge, tokens: Iterable[Found], as_json: bool, quiet: bool) -> int:
    """Judge tokens as they are found, and write a line for each: JSON at once, text for people after the progress bar."""
    people = for_people(as_json)
    counts, lines, interrupted = Counter[Exit](), list[str](), False
    try:
        for found in tokens:
            verdict = judge.verdict(found.token)
            counts[verdict.code] += 1
            if people and not quiet:
                lines.append(f"{safe(found.where)}: {_painted(verdict, judge.now)}")
            elif not quiet:
                click.echo(to_json(found.place | _as_json(verdict)))
    except KeyboardInterrupt:
        interrupted = True
    for line in lines:
        click.echo(line)
    note(summary(counts), quiet)
    if judge.expected.left_out:
        note(f"NOT CHECKED: {', '.join(judge.expected.left_out)}", quiet, "yellow")
    if interrupted:
        note("Interrupted: that is what was judged until then.", quiet)
        return Exit.INTERRUPTED
    return min((code for code in counts if code), default=Exit.OK) if counts else Exit.MALFORMED


def summary(counts: Counter[Exit]) -> str:
    """`3 tokens: 1 valid, 2 refused (1 bad signature, 1 malformed)`."""
    total = sum(counts.values())
    if not total:
        return "no token found"
    why = ", ".join(f"{counts[code]} {name}" for code, name in _NAMES.items() if counts[code])
    refused = f"{total - counts[Exit.OK]} refused" + (f" ({why})" if why else "")
    return f"{total} token{'s' * (total != 1)}: {counts[Exit.OK]} valid, {refused}"


def _painted(verdict: Verdict, now: float) -> str:
    return paint(safe(verdict.said(now)), "red" if verdict.failures else "green")


def _as_json(verdict: Verdict) -> dict[str, Any]:
    if verdict.accepted is None:
        return {"verified": False, "failures": verdict.reasons}
    accepted = verdict.accepted
    return {"verified": True, "kid": accepted.kid, "exp": accepted.exp, "jti": accepted.raw.get("jti")}
