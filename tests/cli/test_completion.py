"""The Tab key in real shells: what `jwt completion` prints completes commands, their groups and options."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

SECONDS = 30
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(jwt completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit && compinit -u -D && eval "$(jwt completion zsh)"'),
}
Typist = Callable[[str, str], str]


@contextmanager
def shell(name: str, home: Path) -> Iterator[Typist]:
    """A shell at a terminal with completion loaded; a function that types, and answers what is shown up to a pattern."""
    arguments, load = SHELLS[name]
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    pid, terminal = pty.fork()
    if pid == 0:  # the child: only exec, since the parent may have threads
        os.chdir(home)
        os.execve(
            found,
            arguments,
            {
                "PATH": path,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "TERM": "dumb",
                "HOME": str(home),
                "PS1": "@ ",
                "LANG": "C.UTF-8",
            },
        )

    def typed(text: str, until: str) -> str:
        os.write(terminal, text.encode())
        shown, deadline = "", time.monotonic() + SECONDS
        while not re.search(until, shown):
            assert time.monotonic() < deadline, f"{name} showed\n{shown}\nand never {until}"
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")
        return shown

    try:
        typed(f"{load}; echo loa''ded\n", "loaded")
        yield typed
    finally:
        os.close(terminal)  # hangs up, and the shell ends
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.mark.parametrize("name", SHELLS)
def test_the_tab_key_completes_commands_groups_and_options(name: str, tmp_path: Path) -> None:
    with shell(name, tmp_path) as typed:
        typed("jwt ver\t", r"jwt verify ")
        typed("--unch\t", r"--unchecked")
        typed("\x15jwt key thumb\t", r"jwt key thumbprint ")
        typed("\x15jwt admin keys rev\t", r"jwt admin keys revoke ")


@pytest.mark.parametrize("name", SHELLS)
def test_two_tabs_list_what_there_is(name: str, tmp_path: Path) -> None:
    with shell(name, tmp_path) as typed:
        typed("jwt admin \t\t", r"(?s)(?=.*sessions)(?=.*audit)(?=.*users)")


@pytest.mark.parametrize("name", SHELLS)
def test_the_tab_key_completes_the_names_of_files(name: str, tmp_path: Path) -> None:
    for file in ("orders.jwk", "folder/token.txt"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x")
    with shell(name, tmp_path) as typed:
        typed("jwt verify --key ord\t", r"jwt verify --key orders\.jwk ")
        typed("\x15jwt key show ord\t", r"jwt key show orders\.jwk ")
        typed("\x15jwt serve --tls-cert fold\t", r"jwt serve --tls-cert folder/")
        typed("\x15jwt decode @ord\t", r"jwt decode @orders\.jwk ")
        typed("\x15jwt decode @folder/t\t", r"jwt decode @folder/token\.txt ")
        typed("\x15jwt decode @fol\t", r"jwt decode @fol\W*der/")  # a bell in between
        typed("\x15jwt sign --claims @ord\t", r"jwt sign --claims @orders\.jwk ")
        typed("\x15jwt decode @\t\t", r"(?s)folder.*orders\.jwk")


@pytest.mark.parametrize("name", SHELLS)
def test_the_tab_key_completes_pages_and_rules(name: str, tmp_path: Path) -> None:
    with shell(name, tmp_path) as typed:
        typed("jwt man intro\t", r"jwt man introspect ")
        typed("\x15jwt lint --ignore jti\t", r"jwt lint --ignore jti-missing ")


def test_bash_completes_what_stands_after_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "ES256.jwk").write_text("x")
    with shell("bash", tmp_path) as typed:
        typed("jwt lint --fail-on=nev\t", r"jwt lint --fail-on=never")
        typed("\x15jwt verify --key=k/ES2\t", r"jwt verify --key=k/ES256\.jwk")
        typed("\x15jwt sign --kind=\t\t", r"(?s)access.*plain|plain.*access")


def test_a_shell_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with shell("bash", tmp_path) as typed:
        typed("jwt completion tcsh; echo code=$?\n", r"code=2")
