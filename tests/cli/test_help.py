"""What `--help` shows: every command in whole sentences, options that say what they do."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from admit.cli.commands import jwt
from admit.cli.group import Group


def every(context: click.Context) -> Iterator[click.Context]:
    """A command and all below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            below = context.command.get_command(context, name)
            assert below is not None
            yield from every(click.Context(below, info_name=name, parent=context, max_content_width=80))


ALL = {each.command_path: each for each in every(click.Context(jwt, info_name="jwt", max_content_width=80))}


@pytest.mark.parametrize("path", ALL)
def test_help_is_whole_sentences(path: str) -> None:
    commands = ALL[path].get_help().partition("\nOptions:\n")[2]
    assert not [line for line in commands.splitlines() if line.rstrip().endswith("...")]
    assert isinstance(ALL[path].command, Group) or not isinstance(ALL[path].command, click.Group), "give it cls=Group"


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_does(path: str) -> None:
    silent = [each.opts for each in ALL[path].command.params if isinstance(each, click.Option) and not each.help]
    assert not silent
