"""`jwt admin users totp`: the second factor of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from admit.cli.exits import Stop, exit_code
from admit.cli.group import Group
from admit.cli.input import prompt
from admit.cli.output import for_people, json_option, note, print_json
from admit.cli.store import GROUP, found, service_of, where
from admit.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.group(cls=Group, context_settings=GROUP)
def totp() -> None:
    """The second factor of a user: codes of an authenticator app (TOTP), and recovery codes."""


@totp.command()
@click.argument("name")
@where
@json_option
def enroll(name: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Give NAME a new seed, as a QR code for an authenticator app, and ask for the first code.

    A pipe gets the otpauth URI; `confirm` then takes the first code. Logins ask for codes once one was confirmed.
    """
    with service_of(config, flags) as service:
        sub = found(service, name).id
        enrollment = service.totp.enroll(sub)
        if not for_people(as_json):
            print_json({"uri": enrollment.uri})
            return
        click.echo(enrollment.text())
        click.echo(enrollment.uri)
        try:
            codes = service.totp.confirm(sub, prompt("first code"))
        except InvalidRequest as error:
            goes_on = f"jwt admin users totp confirm {name} CODE goes on with the seed that was shown"
            raise Stop(f"{error}; {goes_on}", exit_code(error)) from None
        _show(codes, as_json)
        note(f"{name} now logs in with a password and a code.")


@totp.command()
@click.argument("name")
@click.argument("code")
@where
@json_option
def confirm(name: str, code: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Turn NAME's second factor on with the first CODE, and print the recovery codes."""
    with service_of(config, flags) as service:
        _show(service.totp.confirm(found(service, name).id, code), as_json)


@totp.command("recovery-codes")
@click.argument("name")
@where
@json_option
def recovery_codes(name: str, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Print fresh recovery codes for NAME; the old ones end."""
    with service_of(config, flags) as service:
        _show(service.totp.recovery_codes(found(service, name).id), as_json)


@totp.command()
@click.argument("name")
@where
def remove(name: str, config: Path | None, **flags: Any) -> None:
    """Take NAME's second factor away: the password is enough again."""
    with service_of(config, flags) as service:
        service.totp.remove(found(service, name).id)
    note(f"{name} logs in with the password alone.")


def _show(codes: Sequence[str], as_json: bool) -> None:
    if for_people(as_json):
        click.echo("Recovery codes, each for one login; this is the only time that they are shown:")
        click.echo("\n".join(f"  {code}" for code in codes))
    else:
        print_json({"recovery_codes": list(codes)})
