"""Sessions at a pipe: each `$ ` line of a file goes to sh; then comes all it writes, and `[n]`, its exit code."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
SECRET_SHAPES = re.compile(r"hunter2|topsecret|my-secret|0123456789012345|correct horse")


class Exchange(NamedTuple):
    line: int
    command: str
    expected: str
    code: int


def exchanges(transcript: Path) -> Iterator[Exchange]:
    parts = re.split(r"^\$ ", transcript.read_text(encoding="utf-8"), flags=re.MULTILINE)
    line = 1
    for part in parts[1:]:
        command, _, output = part.partition("\n")
        ended = re.search(r"^\[(\d+)\]\n\Z", output, re.MULTILINE)
        yield Exchange(line, command, output[: ended.start()] if ended else output, int(ended[1]) if ended else 0)
        line += part.count("\n")


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_command_answers_as_the_transcript_shows(transcript: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8", "COLUMNS": "100"}
    wrong: list[str] = []
    for exchange in exchanges(transcript):
        run = subprocess.run(
            ["sh", "-c", exchange.command],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # no terminal to ask at
            timeout=30,
            check=False,
        )
        written = run.stdout.decode().rstrip("\n") + "\n"
        shown = exchange.expected.rstrip("\n") + "\n"
        if (
            not doctest.OutputChecker().check_output(shown, written, doctest.ELLIPSIS)
            or run.returncode != exchange.code
        ):
            where = f"{transcript.name}:{exchange.line}: {exchange.command}"
            wrong.append(
                f"{where}\nwrote\n{written}[{run.returncode}] and the transcript shows\n{shown}[{exchange.code}]"
            )
        assert "Traceback" not in written
        assert not SECRET_SHAPES.search(written), f"{transcript.name}:{exchange.line} shows a secret"
    assert not wrong, "\n\n".join(wrong)
