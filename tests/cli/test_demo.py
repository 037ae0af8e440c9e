"""`jwt demo` leaves nothing behind, however it ends. tests/cli/transcripts/demo.txt shows it whole, twice at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from admit.cli import demo

DEMO = [sys.executable, "-m", "admit.cli", "demo"]


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(folder), "ADMIT_DATA": "/nowhere", "ADMIT_PORT": "1"}
    return subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_demo_that_is_stopped_takes_its_processes_with_it(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        assert process.stdout is not None
        said = ""
        while "/orders" not in said:
            said = process.stdout.readline()
            assert said, "the demo ended before its API was there"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _text(entry)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def test_a_process_that_had_only_begun_ends_with_an_interrupted_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            begun.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), demo._process("timeit", "-n1", "-s", "import time", "time.sleep(60)"):
        pass
    assert begun[0].returncode is not None
