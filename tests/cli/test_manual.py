"""The manual pages say what the commands say, are found, can be read without `man`, and their examples run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from admit.cli.commands import COMMANDS, jwt
from admit.cli.exits import Exit
from admit.cli.manual import PAGES, pages
from admit.cli.roff import escaped, plain
from tests.helpers.console import Block, run_console, shell_in

pytestmark = pytest.mark.once

BIN = Path(sys.executable).parent
WRITTEN = {path.name: path.read_text(encoding="utf-8") for path in PAGES.iterdir()}


def shown(name: str) -> str:
    """A page as text on one line."""
    return " ".join(plain(WRITTEN[name], 10_000).split())


def jwt_man(*arguments: str, path: str = str(BIN), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "jwt", "man", *arguments],
        env={"PATH": path, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_committed_pages_are_those_that_the_commands_make() -> None:
    made = pages()
    stale = sorted(name for name in made.keys() | WRITTEN.keys() if made.get(name) != WRITTEN.get(name))
    assert not stale, "write them anew with `make man`"


def test_a_page_that_is_out_of_date_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = jwt.get_command(click.Context(jwt), "decode")
    assert command is not None
    monkeypatch.setattr(command, "short_help", "Do something else.")
    assert pages()["jwt-decode.1"] != WRITTEN["jwt-decode.1"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_stands_on_its_page(name: str) -> None:
    page = shown(f"jwt-{name}.1")

    def check(command: click.Command) -> None:
        for each in command.params:
            for option in each.opts:
                assert isinstance(each, click.Argument) or option in page
        for below in getattr(command, "commands", {}).values():
            check(below)

    command = jwt.get_command(click.Context(jwt), name)
    assert command is not None
    check(command)


def test_every_command_and_exit_code_stands_in_the_front() -> None:
    page = shown("jwt.1")
    assert all(f"jwt-{name}(1)" in page for name in COMMANDS)
    assert all(re.search(rf"\b{int(code)}\b", page) for code in Exit)


STORY = (
    *("What a JSON Web Token is", "The three parts", "Key points", "How one is created", "How one is verified"),
    *("What the payload may hold", "Access tokens and refresh tokens", "How one is revoked"),
    *("EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"),
)


@pytest.mark.parametrize("part", STORY)
def test_the_front_tells_the_whole_story(part: str) -> None:
    assert re.search(rf'^\.S[SH] "?{part}"?$', WRITTEN["jwt.1"], re.MULTILINE)


def test_the_examples_of_the_manual_run(tmp_path: Path) -> None:
    examples = [
        re.sub(r"\\\(aq", "'", text).replace("\\-", "-")
        for text in re.findall(r"^\.EX\n(.*?)^\.EE$", WRITTEN["jwt.1"], re.MULTILINE | re.DOTALL)
    ]
    run = [Block("console", text, 0) for text in examples if text.startswith("$ ")]
    assert len(run) > 4
    with shell_in(tmp_path) as shell:
        for command, written in [pair for block in run for pair in block.commands]:
            run_console(shell, Block("console", f"$ {command}\n{written or '...'}", 0))  # a page is not all output


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name", WRITTEN)
def test_groff_has_nothing_to_complain_of(name: str) -> None:
    run = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", PAGES / name], capture_output=True, text=True, timeout=30, check=True
    )
    assert run.stderr == ""


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_finds_the_page_of_an_activated_environment() -> None:
    installed = Path(sys.prefix) / "share" / "man" / "man1" / "jwt.1"
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    found = subprocess.run(
        ["man", "-w", "jwt"], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert Path(found.stdout.strip()) == installed
    assert "stamped movie ticket" in installed.read_text(encoding="utf-8")


def test_jwt_man_writes_plain_text_into_a_pipe() -> None:
    run = jwt_man()
    assert run.returncode == 0
    assert run.stdout.startswith("JWT(1)\n\nNAME\n       jwt - ")
    assert "stamped movie ticket" in run.stdout
    assert not re.search(r"\\f|\\-|^\.|\x1b|\x08", run.stdout, re.MULTILINE)
    assert max(map(len, jwt_man("verify").stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", ["verify", "jwt-verify", "jwt-verify(1)"])
def test_jwt_man_shows_the_page_of_a_command(name: str) -> None:
    assert "JWT-VERIFY(1)" in jwt_man(name).stdout


@pytest.mark.parametrize("name", ["../jwt", "nothing", "/etc/passwd", "jwt.1", "x" * 5000, "\udcff"])
def test_a_page_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    run = jwt_man(name)
    assert run.returncode == Exit.USAGE
    assert "there are admin, " in run.stderr
    assert "Traceback" not in run.stderr


def test_jwt_man_says_where_a_page_lies() -> None:
    path = Path(jwt_man("--path", "verify").stdout.strip())
    assert path.name == "jwt-verify.1"
    assert path.is_file()


@pytest.mark.parametrize("text", [".TH x", "'x", "a\\fBb", "--key 'x'", '"q"', "a\n.b"])
def test_text_that_looks_like_roff_is_shown_as_it_is(text: str) -> None:
    assert " ".join(plain(f".PP\n{escaped(text)}", 80).split()) == " ".join(text.split())


@pytest.mark.parametrize("words", ["admin users", "admin users totp enroll", "admin keys rotate-mac", "key generate"])
def test_the_words_of_a_command_open_the_page_that_it_is_on(words: str) -> None:
    done = jwt_man(*words.split(), "--path")
    assert (done.returncode, Path(done.stdout.strip()).name) == (0, f"jwt-{words.split()[0]}.1")


@pytest.mark.parametrize("words", ["admin us", "admin absent", "absent users", "decode TOKEN"])
def test_words_that_are_no_command_open_none(words: str) -> None:
    done = jwt_man(*words.split())
    assert (done.returncode, "there is no such page" in done.stderr) == (2, True)
