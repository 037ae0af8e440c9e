"""The command as a process: what it loads, how fast it starts, and how it ends when something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from admit import Key, Signer, __version__
from admit.tokens.kinds import PLAIN

JWT = str(Path(sys.executable).parent / "jwt")
PROBE = """
import sys
from admit.cli.entry import main
sys.argv = ["jwt", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
standard = sys.stdlib_module_names
print(code, *sorted(name for name in sys.modules if name.partition(".")[0] not in standard), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def token() -> str:
    return Signer(Key.generate("ES256"), issuer="me", kind=PLAIN).sign(claims={"name": "Zoë 漢"})


def probe(*arguments: str, before: str = "") -> tuple[int, str, list[str]]:
    """The exit code, what it wrote to stdout, and the last line of stderr in words."""
    run = subprocess.run(
        [sys.executable, "-c", before + PROBE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    code, *modules = run.stderr.splitlines()[-1].split()
    return int(code), run.stderr, modules


def test_decode_loads_the_core_click_and_nothing_else(token: str) -> None:
    code, _, modules = probe("decode", token)
    assert code == 0
    ours = {name for name in modules if name.startswith("admit.cli.")}
    assert ours == {
        f"admit.cli.{name}"
        for name in (
            "commands",
            "decode",
            "entry",
            "exits",
            "files",
            "group",
            "input",
            "output",
            "paste",
            "reading",
            "times",
        )
    }
    tops = {name.partition(".")[0] for name in modules}
    assert {"admit", "click", "cryptography", "msgspec"} <= tops
    assert not tops & {"rich", "sqlalchemy", "alembic", "starlette", "uvicorn", "httpx2", "anyio", "argon2", "jinja2"}


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("click", "decode", "cli"),
        ("httpx2", "login", "client"),
        ("anyio", "whoami", "client"),
        ("starlette", "serve", "server"),
        ("sqlalchemy", "serve", "server"),
        ("httpx2", "demo", "server"),
        ("click", "demo", "server"),
    ],
)
def test_without_its_extra_a_command_says_which_one_it_needs(missing: str, command: str, extra: str) -> None:
    code, err, _ = probe(command, before=f"import sys; sys.modules[{missing!r}] = None\n")
    assert code == 2
    assert f"pip install 'admit[{extra}]'" in err
    assert "Traceback" not in err


def test_the_package_itself_is_the_command_where_no_script_is_on_path() -> None:
    run = subprocess.run([sys.executable, "-m", "admit", "--version"], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, f"admit {__version__}\n")


def test_the_help_loads_no_command() -> None:
    code, _, modules = probe("--help")
    assert code == 0
    ours = {name for name in modules if name.startswith("admit.cli.")}
    assert ours == {f"admit.cli.{name}" for name in ("commands", "entry", "exits", "group", "output", "times")}


def test_a_completion_of_commands_loads_none() -> None:
    before = "import os; os.environ |= {'_JWT_COMPLETE': 'bash_complete', 'COMP_WORDS': 'jwt d', 'COMP_CWORD': '1'}\n"
    code, _, modules = probe(before=before)
    assert code == 0
    assert not {"admit.cli.decode", "admit.cli.demo", "httpx2", "sqlalchemy"} & set(modules)


def test_what_nobody_foresaw_is_one_line_that_quotes_nothing() -> None:
    before = """
import sys, types
from admit.cli import commands
import click
@click.command()
def broken():
    raise RuntimeError("the secret is hunter2")
module = types.ModuleType("broken"); module.broken = broken; sys.modules["admit.cli.broken"] = module
commands.COMMANDS["decode"] = ("broken:broken", "")
"""
    code, err, _ = probe("decode", before=before)
    assert code == 1
    assert "unexpected RuntimeError" in err
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_a_reader_that_went_away_ends_it_quietly(token: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = subprocess.run([JWT, "decode", token], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writer)
    assert run.returncode == 141
    assert run.stderr.decode().startswith("UNVERIFIED")
    assert len(run.stderr.splitlines()) == 1


def test_closed_standard_streams_do_not_make_a_traceback(token: str) -> None:
    for closed, code in (("<&-", 0), (">&-", 1), ("2>&-", 0), ("<&- >&- 2>&-", 1)):  # an answer that is lost is no 0
        run = subprocess.run(["sh", "-c", f'"$0" decode "$1" {closed}', JWT, token], capture_output=True, timeout=60)
        assert b"Traceback" not in run.stderr
        assert run.returncode == code


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-16"])
def test_json_is_json_in_every_encoding(token: str, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run([JWT, "decode", token], capture_output=True, env=environment, timeout=60, check=True)
    written = run.stdout.decode(encoding)
    assert r'"Zo\u00eb \u6f22"' in written
    assert json.loads(written)["claims"]["name"] == "Zoë 漢"
