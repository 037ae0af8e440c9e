"""Types what a page shows into one shell, and compares what it writes; `...` stands for anything."""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

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


@contextmanager
def shell_in(directory: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """One `sh` that is fed a command at a time; whatever it started ends with it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with subprocess.Popen(
        ["sh"],
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "LANG": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "100", **environment},
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
