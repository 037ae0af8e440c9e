"""`jwt man`: the manual pages, wherever Admit is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from typing import Final

import click

from admit.cli.exits import Stop
from admit.cli.output import for_people
from admit.cli.roff import plain

_PAGES: Final = files("admit.cli") / "pages"


def _beginning(begun: str) -> list[str]:
    names = (each.name.removesuffix(".1").removeprefix("jwt-") for each in _PAGES.iterdir() if each.name.endswith(".1"))
    return sorted(name for name in names if name.startswith(begun))


@click.command()
@click.argument("page", required=False, shell_complete=lambda _ctx, _param, begun: _beginning(begun))
@click.option("--path", is_flag=True, help="Print where the page lies instead.")
def man(page: str | None, path: bool) -> None:
    """Show the manual: jwt(1), or the page of one command.

    It is the page that `man jwt` opens where the environment of Admit is active. In a pipe it is plain text.
    """
    known = {each.name.removesuffix(".1"): each for each in _PAGES.iterdir() if each.name.endswith(".1")}
    wanted = (page or "jwt").removesuffix("(1)")
    source = known.get(wanted) or known.get(f"jwt-{wanted}")
    if source is None:
        names = sorted(name.removeprefix("jwt-") for name in known)
        raise Stop(f"there is no such page; there are {', '.join(names)}")
    if path:
        click.echo(source)
        return
    viewer = shutil.which("man")
    if viewer and for_people(False):
        with as_file(source) as file:
            if subprocess.run([viewer, str(file.resolve())], check=False).returncode == 0:  # noqa: S603 - a page of our own
                return
    text = plain(source.read_text(encoding="utf-8"), min(shutil.get_terminal_size().columns, 100))
    click.echo_via_pager(text) if sys.stdout.isatty() else click.echo(text, nl=False)
