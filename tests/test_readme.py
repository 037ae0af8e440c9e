"""Runs what the documentation shows: a page's python and console blocks, in order, are one program.

A `console` block types each line after `$ ` into one POSIX shell a page, in a temporary directory with this
environment's commands on PATH; what follows is its output, where `...` stands for anything. Every command must succeed,
except the last of a block tagged `console fails`, which must not. `console no-run` installs, and `INSTALLS` lists it.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
RUN = ("python", "console", "console fails")
SHOWN = ("text", "json", "toml")
INSTALLS = {
    "README.md": ["pip install admit", "pip install 'admit[cli]'", "pip install 'admit[server,fastapi]'", "make demo"],
    "CONTRIBUTING.md": ["make test", "make test PYTHON=python3.13", "make unit ARGS='tests/jose -k thumbprint'"],
}
SECONDS_A_COMMAND = 60
DONE = "-- the command ended with"


class Block(NamedTuple):
    tag: str
    text: str
    line: int

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command of a console block, with the output shown under it."""
        before, *parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert parts, f"line {self.line}: a console block has commands, each after `$ `"
        assert not before, f"line {self.line}: a console block begins with a command"
        return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Block(fence[1].strip(), fence[2], text.count("\n", 0, fence.start()) + 2)
        for fence in re.finditer(r"^```(.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    assert 2 * len(found) == len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)), (
        "a fence is indented or not closed"
    )
    return found


@contextmanager
def shell_in(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """One `sh` that is fed a command at a time; whatever it started ends with it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with subprocess.Popen(
        ["sh"],
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "LANG": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "100"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        try:
            yield shell
        finally:
            end(shell)


def end(shell: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)


def run_command(shell: subprocess.Popen[str], command: str) -> tuple[int, str]:
    """The command's exit status and all that it wrote."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    watchdog = threading.Timer(SECONDS_A_COMMAND, end, [shell])
    watchdog.start()
    try:
        shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '%s %d\\n' '{DONE}' $?\n")
        shell.stdin.flush()
        written = ""
        for line in shell.stdout:
            said, done, status = line.partition(DONE)
            written += said
            if done:
                return int(status), written
    finally:
        watchdog.cancel()
    raise AssertionError(f"`{command}` ended the shell, or took over {SECONDS_A_COMMAND} s:\n{written}")


def run_console(shell: subprocess.Popen[str], block: Block) -> None:
    for number, (command, shown) in enumerate(block.commands, 1):
        status, written = run_command(shell, command)
        must_fail = block.tag == "console fails" and number == len(block.commands)
        assert bool(status) == must_fail, f"`{command}` ended with {status}:\n{written}"
        same = doctest.OutputChecker().check_output(shown, written, doctest.ELLIPSIS)
        assert same, f"line {block.line}: `{command}` wrote\n{written}\nand the page shows\n{shown}"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    monkeypatch.chdir(tmp_path)
    with shell_in(tmp_path) as shell:
        for block in blocks(page):
            if block.tag == "python":
                source = "\n" * (block.line - 1) + block.text
                exec(compile(source, ROOT / page, "exec", dont_inherit=True), module.__dict__)
            elif block.tag in RUN:
                run_console(shell, block)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ echo one; false\none\n"),
        ("console", "$ exit 0\n"),
        ("console fails", "$ true\n"),
        ("console", "one\n$ echo one\none\n"),
        ("console", "echo one\n"),
    ],
)
def test_a_block_that_does_not_do_what_it_shows_is_refused(tag: str, text: str, tmp_path: Path) -> None:
    with shell_in(tmp_path) as shell, pytest.raises(AssertionError):
        run_console(shell, Block(tag, text, 1))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    unknown = [block for block in blocks(page) if block.tag not in (*RUN, *SHOWN, "console no-run")]
    assert not unknown, "tag it: " + ", ".join((*RUN, *SHOWN))


def test_only_known_install_commands_are_left_unrun() -> None:
    unrun = {page: [b for b in blocks(page) if b.tag.endswith("no-run")] for page in PAGES}
    assert {page: [c for b in found for c, _ in b.commands] for page, found in unrun.items() if found} == INSTALLS


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing
