"""`jwt completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from admit.cli.commands import jwt

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes `jwt` in bash, zsh or fish.

    For this shell, `eval "$(jwt completion bash)"`; for every one, the same line in ~/.bashrc, ~/.zshrc (after compinit),
    or `jwt completion fish | source` in ~/.config/fish/config.fish.
    """
    name = ctx.find_root().info_name or "jwt"
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    click.echo(kind(jwt, {}, name, f"_{name.upper()}_COMPLETE").source())
