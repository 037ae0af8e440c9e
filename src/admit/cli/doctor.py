"""`jwt admin doctor`: looks at a deployment from inside and outside, and says of each thing how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.checks import database, host, keys, network
from admit.cli.checks.finding import DAMAGED, Check, Deployment, Finding, Skip, failure
from admit.cli.exits import Exit, Stop
from admit.cli.output import for_people, json_option, note, paint, print_json, safe
from admit.cli.serve import read_settings, settings_options
from admit.errors import AdmitError, StorageUnavailable
from admit.server.settings import names

if TYPE_CHECKING:
    from pathlib import Path

CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("settings", host.settings),
    ("proxy", host.proxy),
    ("cookies", host.cookies),
    ("data folder", host.folder),
    ("jwt on PATH", host.command),
    ("passwords", host.passwords),
    ("SQLite", database.sqlite),
    ("database", database.reachable),
    ("schema", database.schema),
    ("PostgreSQL", database.postgresql),
    ("master key", keys.master),
    ("key schedule", keys.schedule),
    ("certificate file", network.certificate_file),
    ("TLS", network.tls),
    ("issuer", network.issuer),
    ("readiness", network.readiness),
    ("feed", network.feed),
    ("clock", network.clock),
)
"""Each check by its name, from what others need to what needs others."""

_COLORS: Final = {"ok": "green", "warning": "yellow", "failure": "red", "skipped": "bright_black"}


@click.command()
@settings_options(*names())
@json_option
def doctor(as_json: bool, config: Path | None, **flags: Any) -> None:
    """Check a deployment, and say how to mend what is wrong with it.

    It looks at clock, certificate, proxy, database, keys, issuer, feed and the cost of a password, and changes nothing.
    Give it the settings that `jwt serve` has, and run it as the same user. It ends with 26 where anything fails.
    """
    deployment = Deployment(read_settings(config, flags))
    try:
        found = [(name, finding) for name, check in CHECKS for finding in examined(check, deployment)]
    finally:
        deployment.close()
    if for_people(as_json):
        for name, finding in found:
            click.echo(f"{paint(finding.result.ljust(8), _COLORS[finding.result])} {name}: {safe(finding.told)}")
            if finding.mend:
                click.echo(f"{' ' * 9}{safe(finding.mend)}")
    else:
        print_json([_row(name, finding) for name, finding in found])
    failures = sum(finding.result == "failure" for _, finding in found)
    if failures:
        told = "is a failure" if failures == 1 else "are failures"
        raise Stop(f"{failures} of {len(found)} findings {told}", Exit.UNHEALTHY)
    note("Nothing fails.")


def examined(check: Check, deployment: Deployment) -> Iterator[Finding]:
    """What a check finds. What it cannot look at is skipped with the reason, and never counts as well; and where it fails
    itself, that is a finding of its own."""
    try:
        yield from check(deployment)
    except Skip as why:
        yield Finding("skipped", str(why))
    except StorageUnavailable as error:
        mend = "see the log of the database, end who holds its tables locked, and run the doctor again"
        yield failure(str(error), mend if deployment.file is None else DAMAGED)
    except AdmitError as error:
        yield failure(str(error), "see the finding above, and run the doctor again")
    except Exception as error:  # noqa: BLE001 - what one check did not foresee must not cost the others' findings
        yield failure(
            f"it could not be looked at: unexpected {type(error).__name__}",
            "see the other findings, and run the doctor again; if it stays, report it with this line",
        )


def _row(name: str, finding: Finding) -> dict[str, str]:
    row = {"check": name, "result": finding.result, "told": finding.told}
    return {**row, "mend": finding.mend} if finding.mend else row
