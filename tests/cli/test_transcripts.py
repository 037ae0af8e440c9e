"""Every command answers as its transcript shows, at a pipe and in a terminal (see tests/cli/transcript.py)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.test_help import ALL
from tests.cli.transcript import SECRET_SHAPES, exchanges, readable, run

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
LEAVES = [path for path, context in ALL.items() if not isinstance(context.command, click.Group)]
RECORD = bool(os.environ.get("ADMIT_RECORD"))


@pytest.fixture(scope="module")
def service(path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running service: its URL, and the folder of its data."""
    data = str(tmp_path_factory.mktemp("service") / "data")
    command = ["jwt", "serve", "--port", "0", "--data", data, "--audience", "orders", "--scopes", "orders:read"]
    environment = {"PATH": path, "LANG": "C.UTF-8"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            yield {"SERVICE": json.loads(process.stdout.readline())["url"], "SERVICE_DATA": data}
        finally:
            process.terminate()


@pytest.mark.once
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_command_answers_as_the_transcript_shows(
    transcript: Path, tmp_path: Path, path: str, service: dict[str, str]
) -> None:
    always = {"LANG": "C.UTF-8", "TZ": "UTC", "COLUMNS": "100", "TERM": "xterm-256color", "PYTHON": sys.executable}
    environment = {"PATH": path, "HOME": str(tmp_path), **always, **service}
    wrong, recorded = [], []
    for shown in exchanges(transcript):
        now, written = run(shown, tmp_path, environment)
        where = f"{transcript.name}:{shown.line}: {shown.command}"
        assert "Traceback" not in written, f"{where}\n{written}"
        assert not SECRET_SHAPES.search(written), f"{where} shows a secret"
        recorded.append(str(now))
        if now != shown:
            wrong.append(
                f"{where}\nwrote\n{now.output}[{now.code}] and the transcript shows\n{shown.output}[{shown.code}]"
            )
    if RECORD:
        transcript.write_text("".join(recorded), encoding="utf-8")
    assert RECORD or not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_every_command_is_in_a_transcript(terminal: bool) -> None:
    typed = [each.command for file in TRANSCRIPTS for each in exchanges(file) if each.terminal is terminal]
    missing = [leaf for leaf in LEAVES if not any(re.search(rf"(?<!\S){leaf}(?!\S)", command) for command in typed)]
    assert not missing


def test_only_what_is_volatile_is_taken_out() -> None:
    assert readable("The key 0123 is valid, client.first-party; expired 9 min ago [12], 16384 of 262144\n") == (
        "The key 0123 is valid, client.first-party; expired 9 min ago [12], 16384 of 262144\n"
    )
    assert readable("\x1b[31mno\x1b[0m \x1b[2K\r") == "‹red›no‹/› ‹ESC[2K›‹CR›‹no line end›\n"
