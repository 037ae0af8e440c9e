"""`jwt serve`: the token service over HTTP. With no arguments it makes what it needs, and listens on loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from admit.cli.entry import abandon_output
from admit.cli.exits import Exit, Stop
from admit.cli.files import FILE
from admit.cli.output import stopped
from admit.server.run import CannotServe, check, open_service, run
from admit.server.settings import HELP, PREFIX, SORTS, Settings, default, holds_secret, load, names

if TYPE_CHECKING:
    from admit.service.facade import TokenService

_EXITS: Final = {
    "unsafe": Exit.UNSAFE,
    "folder": Exit.FOLDER,
    "port": Exit.PORT,
    "database": Exit.DATABASE,
    "master key": Exit.MASTER_KEY,
}
_FILES: Final = frozenset(("data", "master_key_file", "tls_cert", "tls_key"))  # which the Tab key completes
F = TypeVar("F", bound=Callable[..., object])


def settings_options(*wanted: str) -> Callable[[F], F]:
    """The flags of some settings, made from their table; the command gets those that were given as one mapping."""

    def decorate(command: F) -> F:
        for name in reversed(wanted):
            sort, kind, usual = SORTS[name], FILE if name in _FILES else None, default(name)
            help_ = HELP[name] + (", again or after a comma for more" if sort.several else "")
            help_ += f" [{PREFIX}{name.upper()}{f'; default: {usual}' if usual else ''}]"
            flag = f"--{name.replace('_', '-')}"
            option = click.option(
                flag, name, multiple=sort.several, default=None, help=help_, type=kind, metavar=sort.metavar
            )
            command = option(command)
        return click.option(
            "--config", type=click.Path(path_type=Path), help=f"a TOML file of settings [{PREFIX}CONFIG]"
        )(command)

    return decorate


def read_settings(config: Path | None, flags: dict[str, Any]) -> Settings:
    """The settings in force. Raises Stop for a password in argv, which everybody on the machine can read."""
    given = {
        name: ",".join(value) if isinstance(value, tuple) else value  # a flag's commas separate, as everywhere
        for name, value in flags.items()
        if value not in (None, ())
    }
    settings = load(given, toml=config)
    if "database" in given and holds_secret(settings.database_url):
        raise Stop(
            f"others can read the database's password in argv: give it in {PREFIX}DATABASE or in --config", Exit.UNSAFE
        )
    return settings


def opened(settings: Settings) -> TokenService:
    """The service over these settings. Raises Stop with its exit code where it cannot be opened."""
    try:
        return open_service(settings)
    except CannotServe as error:
        raise Stop(str(error), _EXITS[error.reason]) from None


@click.command()
@settings_options(*names())
@click.option("--print-config", is_flag=True, help="print the settings in force as TOML, without secrets, and end")
def serve(config: Path | None, print_config: bool, **flags: Any) -> None:
    """Serve tokens over HTTP: login, refresh, revocation, keys.

    With no arguments it makes its data folder, master key, database and first keys, listens on 127.0.0.1, and prints
    where. A setting comes from its flag, else from the environment, else from the TOML file, else from its default.
    A TIME is a number with its unit: 500ms, 30s, 10m, 12h, 1h30m or 30d.
    """
    settings = read_settings(config, flags)
    if print_config:
        # A JSON string, number or list of strings is spelled the same in TOML, but for DEL and surrogate pairs.
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.shown().items())
        click.echo("\n".join(lines).replace("\x7f", "\\u007f"))
        return

    def announce(issuer: str, url: str) -> None:
        where = {"issuer": issuer, "url": url, "data": str(settings.data), "master_key_file": str(settings.master_key)}
        people = "Admit serves. Ctrl-C stops it.\n" + "\n".join(f"  {k:<16}{v}" for k, v in where.items())
        try:
            click.echo(people if sys.stdout.isatty() else json.dumps(where))
            sys.stdout.flush()
        except OSError:  # nobody reads where; it serves all the same
            abandon_output()

    try:
        check(settings)
        run(settings, announce)
        stopped()
    except CannotServe as error:
        raise Stop(str(error), _EXITS[error.reason]) from None
