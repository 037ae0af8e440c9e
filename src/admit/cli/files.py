"""The kinds of argument that name a file, so that the Tab key completes its name."""

from __future__ import annotations

import os
from typing import Final

import click
from click.shell_completion import CompletionItem


class FileName(click.ParamType[str]):
    """A file's name, or - where the command takes stdin; the command opens it."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The shell completes it."""
        return [CompletionItem(incomplete, type="file")]


class AtFileName(click.ParamType[str]):
    """A value, or @ and the name of the file that holds it."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The files whose names begin so, after an @ only."""
        return [CompletionItem(f"@{path}") for path in _paths(incomplete[1:])] if incomplete.startswith("@") else []


def _paths(begun: str) -> list[str]:
    """The paths that begin so, folders with what is in them: then no shell ends the word after the folder."""
    folder, beginning = os.path.split(begun)
    try:
        names = sorted(name for name in os.listdir(folder or ".") if name.startswith(beginning))
    except OSError:
        return []
    paths = [os.path.join(folder, name) for name in names if beginning or not name.startswith(".")]
    found: list[str] = []
    for path in paths:
        found += [path + os.sep, *_paths(path + os.sep)] if len(paths) == 1 and os.path.isdir(path) else [path]
    return found


FILE: Final = FileName()
AT_FILE: Final = AtFileName()
