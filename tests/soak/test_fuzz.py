"""The fuzz targets: 10 million inputs each where atheris is installed, and a few thousand mangled ones everywhere."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.soak.targets import TARGETS, seeds

ROOT = Path(__file__).parents[2]
PIECES = [
    b"",
    b"\0",
    b".",
    b"=",
    b'"',
    b"{",
    b"[" * 40,
    b"}",
    b"A" * 100,
    b"\xff",
    b"\\u0000",
    b"9" * 30,
    b"-1",
    b"null",
]


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_mangled_gives_a_value_or_an_error(name: str) -> None:
    source, given = random.Random(name), seeds()[name]
    for seed in given:
        TARGETS[name](seed)
    for _ in range(300):
        one, other = source.choice(given), source.choice(given)
        at, to = source.randrange(len(one) + 1), source.randrange(len(other) + 1)
        TARGETS[name](one[:at] + source.choice(PIECES) + other[to:])


@pytest.mark.soak
@pytest.mark.skipif(find_spec("atheris") is None, reason="needs the extra `fuzz`")
@pytest.mark.parametrize("name", TARGETS)
def test_ten_million_inputs(name: str) -> None:
    command = [sys.executable, "-m", "tests.soak.fuzz", name, "-runs=10000000", "-max_len=4096", "-rss_limit_mb=4096"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 10000000 runs" in done.stderr
