"""`jwt man`: the manual pages, wherever Admit is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

import click

from admit.cli.exits import Stop
from admit.cli.output import for_people
from admit.cli.roff import plain, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_PAGES: Final = files("admit.cli") / "pages"


def _beginning(begun: str) -> list[str]:
    names = (each.name.removesuffix(".1").removeprefix("jwt-") for each in _PAGES.iterdir() if each.name.endswith(".1"))
    return sorted(name for name in names if name.startswith(begun))


def _below(known: Mapping[str, Traversable], words: tuple[str, ...]) -> Traversable | None:
    """The page of a command that has the command of these words below it."""
    page = known.get(f"jwt-{words[0]}") if words else None
    section = ".SS " + quoted(f"jwt {' '.join(words)}").removesuffix('"')
    text = page.read_text(encoding="utf-8") if page is not None else ""
    return page if f"{section} " in text or f'{section}"' in text else None


@click.command()
@click.argument("words", nargs=-1, metavar="[PAGE]", shell_complete=lambda _ctx, _param, begun: _beginning(begun))
@click.option("--path", is_flag=True, help="Print where the page lies instead.")
def man(words: tuple[str, ...], path: bool) -> None:
    """Show the manual: jwt(1), or the page of one command.

    A command below another, as in `jwt man admin users`, is on that one's page. `man jwt` opens the same pages where the
    environment of Admit is active. In a pipe they are plain text.
    """
    known = {each.name.removesuffix(".1"): each for each in _PAGES.iterdir() if each.name.endswith(".1")}
    wanted = "-".join(words or ("jwt",)).removesuffix("(1)")
    source = known.get(wanted) or known.get(f"jwt-{wanted}") or _below(known, words)
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
