"""What `--help` shows: every command in whole sentences, options that say what they do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest

from admit.cli.commands import jwt
from admit.cli.group import Group
from tests.helpers.command import run


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


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("version", "jwt --version"), ("help", "jwt --help"), ("encode", "jwt sign"), ("keygen", "jwt key generate")],
)
def test_a_command_by_another_name_is_answered_with_its_own(typed: str, meant: str) -> None:
    done = run(typed)
    assert (done.returncode, done.stderr) == (2, f"jwt: No such command; did you mean {meant}? (see jwt --help)\n")
    assert "did you mean" not in run("key", typed).stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("RSA", "RS256"), ("ec", "ES256"), ("rs256", "RS256"), ("ed25519", "Ed25519"), ("HMAC", "HS256"), ("none", None)],
)
def test_an_algorithm_by_another_name_is_answered_with_the_nearest(typed: str, meant: str | None) -> None:
    done = run("key", "generate", "-", "--alg", typed)
    assert done.returncode == 2
    assert ("did you mean" in done.stderr, f"did you mean {meant!r}?" in done.stderr) == (bool(meant), bool(meant))


def test_a_key_is_made_for_every_name_that_a_key_may_have() -> None:
    made = json.loads(run("key", "generate", "-", "--alg", "EdDSA").stdout)
    assert (made["alg"], made["crv"]) == ("EdDSA", "Ed25519")


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_does(path: str) -> None:
    silent = [each.opts for each in ALL[path].command.params if isinstance(each, click.Option) and not each.help]
    assert not silent
